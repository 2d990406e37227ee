"""fusekit's conformance checks for each component."""

from fusekit.testing import LossProposerContract, StrategyContract


class TestMixture(LossProposerContract):
    name = "termsearch.mixture"


class TestEvolution(StrategyContract):
    name = "termsearch.evolution"
    params = {"population": 3, "generations": 2, "trial_steps": 1}
    model = {"proposer": {"use": "termsearch.mixture"}}
    changes = ("proposer",)
