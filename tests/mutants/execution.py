"""Faults in caffe_fuse/execution/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

FORWARD = "execution/forward.py"
RUN = "execution/run.py"

TEST_FORWARD = "tests/execution/test_forward.py"
TEST_RUNNING = "tests/execution/test_running.py"
TEST_FINDS = "tests/test_finds.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "Reshape takes memory of its own",
        FORWARD,
        "    return _seen_as(computed, written[home]) if home in written else computed\n",
        "    return computed\n",
        TEST_FINDS + "::test_a_run_gives_what_caffe_gave",
    ),
    Mutant(
        "where a layer in place cannot run its blob keeps the old value",
        FORWARD,
        "            self.values.pop(name, None)\n",
        "",
        TEST_FORWARD + "::test_a_layer_in_place_that_cannot_be_run_leaves_no_value",
    ),
    Mutant(
        "weights that are too many for their bottom are cut",
        FORWARD,
        "if size(dims) != blob.count:",
        "if size(dims) > blob.count:",
        TEST_FORWARD + "::test_an_input_that_does_not_fit_the_weights_is_a_clear_error",
    ),
    Mutant(
        "only the chunks after the first are numbers of a blob",
        FORWARD,
        "        done += len(chunk)\n",
        "",
        TEST_FORWARD + "::test_weights_of_more_than_a_chunk_are_all_used",
    ),
    Mutant(
        "a value is freed after its first reader",
        FORWARD,
        "waiting[value] = waiting.get(value, 0) + 1",
        "waiting[value] = 1",
        TEST_FORWARD + "::test_what_cannot_be_run_is_named_and_the_rest_runs",
    ),
    Mutant(
        "inputs are not rounded to half",
        FORWARD,
        "precision.kept(np.ascontiguousarray(inputs[name], precision.dtype))",
        "np.ascontiguousarray(inputs[name], precision.dtype)",
        TEST_FORWARD + "::test_in_half_inputs_weights_and_results_are_halves",
    ),
    Mutant(
        "a sum in halves is rounded at its end only",
        FORWARD,
        "total = precision.kept(total + a[..., part] @ b[..., part, :])",
        "total = total + a[..., part] @ b[..., part, :]",
        TEST_FORWARD + "::test_sums_in_half_lose_what_a_sum_in_float32_keeps",
    ),
    Mutant(
        "complex numbers are an input",
        RUN,
        'not in "fiub"',
        'not in "fiubc"',
        TEST_RUNNING + "::test_what_cannot_be_run_is_a_clear_error",
    ),
    Mutant(
        "a blob that cannot be computed is left out though it was named",
        RUN,
        "(not isinstance(blobs, str) or not outcome.values)",
        "not outcome.values",
        TEST_RUNNING + "::test_what_cannot_be_run_is_a_clear_error",
    ),
    Mutant(
        "each input starts the generator anew",
        RUN,
        "np.asarray(random.rand(*shape) * 255 - 120, np.float32)",
        "np.asarray(np.random.RandomState(seed).rand(*shape) * 255 - 120, np.float32)",
        TEST_RUNNING + "::test_one_generator_serves_all_inputs_in_their_order",
    ),
)
