"""Between which numbers activations lie: predicted from the BatchNorms, or recorded on data; and what sums may reach.

Imports `execution`, `passes` and what is below. A prediction warns; only what was seen makes a result unsafe.
"""
