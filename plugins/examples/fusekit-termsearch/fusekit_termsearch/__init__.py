"""fusekit plugin with a fusion loss whose terms are searched once per epoch. This module must not import torch."""

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
            summary="A mixture of three rules whose shares can be changed by a search",
        ),
        component(
            "strategy",
            "termsearch.evolution",
            target="fusekit_termsearch.evolution:Evolution",
            config="fusekit_termsearch.config:EvolutionConfig",
            summary="A genetic search of the loss terms by a metric once per epoch, then a pass with the best terms",
            paper=_IDEA,
        ),
    ]
