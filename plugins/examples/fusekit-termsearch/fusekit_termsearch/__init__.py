"""A fusion loss whose terms are searched once an epoch, as a plugin of fusekit. Imports no torch."""

from fusekit.plugin import component, hookimpl

FUSEKIT_API = ">=1.0,<2"
_IDEA = "after the search of DCEvo, arXiv 2503.17673"


@hookimpl
def fusekit_components():
    """The components of this plugin."""
    return [
        component(
            "loss-proposer",
            "termsearch.mixture",
            target="fusekit_termsearch.mixture:Mixture",
            config="fusekit_termsearch.config:MixtureConfig",
            summary="A mixture of three rules, whose shares a search may change",
        ),
        component(
            "strategy",
            "termsearch.evolution",
            target="fusekit_termsearch.evolution:Evolution",
            config="fusekit_termsearch.config:EvolutionConfig",
            summary="Once an epoch, a genetic search of the loss's terms by a metric; then a pass with the best",
            paper=_IDEA,
        ),
    ]
