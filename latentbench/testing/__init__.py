"""The public contract checks: what every metric, model and dataset of the catalog keeps to, and yours should.

For a plug-in's own tests, with any test runner or none:

    from latentbench.testing import check_dataset, check_metric, check_model

    def test_my_metric():
        check_metric(MY_METRIC)

Each raises `ContractBroken`, an AssertionError, with one line that names the thing and what it broke. `examples` has
the small encodings that metrics are checked on; hand over your own where yours needs other data.
"""

from latentbench.testing.broken import ContractBroken
from latentbench.testing.datasets import check_dataset
from latentbench.testing.examples import example_encoding
from latentbench.testing.metrics import METRIC_CHECKS, check_metric
from latentbench.testing.models import check_model
from latentbench.testing.reparametrise import REPARAMETRISATIONS, permuted, reparametrised

__all__ = [
    "METRIC_CHECKS",
    "REPARAMETRISATIONS",
    "ContractBroken",
    "check_dataset",
    "check_metric",
    "check_model",
    "example_encoding",
    "permuted",
    "reparametrised",
]
