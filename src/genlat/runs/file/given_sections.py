"""What a run file says of arrays that were made elsewhere. No JAX here."""

from typing import Annotated

from pydantic import Field

from genlat.schema import AbstractSection, Count, absolute_unless

Place = Annotated[str, absolute_unless()]


class DrawsSection(AbstractSection):
    """Draws of a model made elsewhere: filled in by `genlat judge --draws`."""

    phi: Place = Field(description="file of the configurations")
    log_q: Place = Field(description="file of their log q, which may be the same")
    sha256: str = Field(default="", description="of the files, when they were judged")
    roundoff: float = Field(
        default=2.0**-24,
        gt=0,
        description="unit roundoff of the coarser of the two types",
    )


class SamplesSection(AbstractSection):
    """Samples of p made elsewhere: `genlat judge --samples`, or `genlat import`."""

    visits_every_mode: bool | None = Field(
        default=None,
        description="whether the chain that made them reaches every mode by "
        "construction: yours to say; unsaid or false, the verdict is never yes",
    )
    phi: Place | None = Field(
        default=None, description="file of the configurations: filled in"
    )
    log_q: Place | None = Field(
        default=None, description="file of the model's log q at them: filled in"
    )
    kernel: str | None = Field(
        default=None, description="what made them, where the file says it: filled in"
    )
    chains: Count | None = Field(default=None, description="in the file: filled in")
    n: Count | None = Field(
        default=None, description="samples of each chain: filled in"
    )
    sha256: str = Field(default="", description="of the files, when they were read")

    @property
    def is_given(self) -> bool:
        """Whether there are any, or only a word on those to come."""
        return self.phi is not None

    @property
    def has_log_q(self) -> bool:
        """Whether a model can be held against them."""
        return self.log_q is not None

    @property
    def label(self) -> str:
        """What stands for their kernel in records."""
        return "a chain of the user's own" if self.kernel is None else self.kernel
