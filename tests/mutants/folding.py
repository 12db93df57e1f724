"""Faults in caffe_fuse/folding/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

DIAGNOSIS = "folding/diagnosis.py"
REPAIR = "folding/repair.py"
RESULT = "folding/result.py"
ROWS = "folding/rows.py"

TEST_ROWS = "tests/folding/test_report_rows.py"
TEST_NOISE = "tests/judging/test_noise.py"
TEST_RESCALE = "tests/rescale/test_rescale.py"

TEST_DEMANDS = "tests/targets/test_demands.py"
MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "the gain of a fold is signed",
        DIAGNOSIS,
        "gain = np.abs(weights.factors if isinstance(weights, ScaledBlob) else weights.array().reshape(-1))",
        "gain = weights.factors if isinstance(weights, ScaledBlob) else weights.array().reshape(-1)",
        "tests/folding/test_diagnosis.py",
    ),
    Mutant(
        "the last BatchNorm of a chain is its cause",
        DIAGNOSIS,
        "for layer in rewrite.before if layer.is_batch_norm",
        "for layer in reversed(rewrite.before) if layer.is_batch_norm",
        "tests/folding/test_diagnosis.py",
    ),
    Mutant(
        "a bias in reports is judged without its weights",
        DIAGNOSIS,
        "decibels(stats.signal + self.stats(layer, 0, doubtful).signal, stats.noise)",
        "decibels(stats.signal, stats.noise)",
        "tests/folding/test_diagnosis.py",
    ),
    Mutant(
        "a channel with a bias and without weights is dead",
        DIAGNOSIS,
        "zeros = zeros & (bias.array().reshape(-1) == 0)",
        "zeros = zeros",
        "tests/folding/test_diagnosis.py",
    ),
    Mutant(
        "a channel that overflows can be dead as well",
        DIAGNOSIS,
        '        states[broken] = "overflow"\n',
        "",
        "tests/folding/test_diagnosis.py",
    ),
    Mutant(
        "the worst channels come last",
        DIAGNOSIS,
        "(STATES.index(each[1].state), each[1].snr, -each[1].max_abs)",
        "(-STATES.index(each[1].state), each[1].snr, -each[1].max_abs)",
        "tests/folding/test_diagnosis.py",
    ),
    Mutant(
        "what matters to no sum is told as lost",
        DIAGNOSIS,
        '        states[weak[share <= NO_EFFECT]] = "dead"\n',
        "",
        "tests/folding/test_diagnosis.py",
    ),
    Mutant(
        "range repair forgets the device",
        REPAIR,
        "        policy=options.policy,\n",
        "",
        TEST_RESCALE + "::test_small_weights_are_repaired_for_a_device_that_takes_them_for_0",
    ),
    Mutant(
        "what is stored is not what is compared",
        RESULT,
        "net=stored(self.model.net, self.options.blob_type)",
        "net=self.model.net",
        TEST_NOISE + "::test_fuse_compares_the_numbers_as_they_are_stored",
    ),
    Mutant(
        "a BatchNorm may remain",
        RESULT,
        "[] if options.allow_bn else verdict.remaining(",
        "[] if not options.strict else verdict.remaining(",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "the draft stays where a repair is needed",
        "folding/save.py",
        "        if facts.final is not tried:\n",
        "        if False:\n",
        "tests/folding/test_one_pass.py",
    ),
    Mutant(
        "the rest of a longer draft stays in the file",
        "folding/save.py",
        "            binary.file.truncate(0)\n",
        "",
        "tests/folding/test_one_pass.py",
    ),
    Mutant(
        "the weights are read before they are written",
        "folding/facts.py",
        'return self.final if is_known or self.options.repairs == "always" else self.draft',
        "return self.final",
        "tests/folding/test_one_pass.py",
    ),
    Mutant(
        "weights that are not finite stay folded",
        "folding/facts.py",
        "        if not_finite:\n",
        "        if False:\n",
        "tests/passes/test_fold.py::test_numbers_beyond_float32_are_refused",
    ),
    Mutant(
        "Splits left where the tool has none",
        "folding/options.py",
        "return blob_type, simplify or any(demand.by == SIMPLIFYING for demand in target.demands)",
        "return blob_type, simplify",
        TEST_DEMANDS + "::test_splits_go_where_the_tool_has_none",
    ),
    Mutant(
        "other weights written for a target than those that were proved",
        "folding/save.py",
        "            if not all(map(_holds, blobs, after.blobs)):\n",
        "            if False:\n",
        TEST_DEMANDS + "::test_what_is_written_for_a_target_is_read_back",
    ),
    Mutant(
        "a row has a layer's name for its type",
        ROWS,
        "return cls(layer.name, layer.type)\n",
        "return cls(layer.name, layer.name)\n",
        TEST_ROWS,
    ),
    Mutant(
        "a folded row has the top of the layer before",
        ROWS,
        "return cls(after.name, after.type, _named(rewrite.absorbed), after.tops[0])",
        "return cls(after.name, after.type, _named(rewrite.absorbed), rewrite.target.tops[0])",
        TEST_ROWS,
    ),
    Mutant(
        "a converted row has the new type twice",
        ROWS,
        "return cls(after.name, rewrite.target.type, after.type",
        "return cls(after.name, after.type, after.type",
        TEST_ROWS,
    ),
    Mutant(
        "a row is written with the name that Python needs",
        ROWS,
        'return {name.rstrip("_"): _plain',
        "return {name: _plain",
        TEST_ROWS,
    ),
    Mutant(
        "a report does not name what was saved",
        "folding/report.py",
        "for path in outputs]",
        "for path in outputs[:0]]",
        TEST_ROWS,
    ),
    Mutant(
        "a result reads the weights to show itself",
        RESULT,
        'if "report" in vars(self):',
        "if self.report:",
        "tests/test_display.py",
    ),
)
