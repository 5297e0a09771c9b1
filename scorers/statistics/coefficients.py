"""Estimated coefficients by name, with the errors of the likelihood and those that are robust."""

from dataclasses import dataclass

from eidolon.scorers.core.metric import FloatArray


@dataclass(frozen=True, slots=True)
class NamedCoefficients:
    """Coefficients by column, in log odds per unit of the column."""

    names: tuple[str, ...]
    """The columns in the fit. A column that is a linear combination of those before it is left out."""
    coefficients: FloatArray
    """Shape (columns,)."""
    covariance: FloatArray
    """Robust (sandwich) covariance over clusters, shape (columns, columns)."""
    model_covariance: FloatArray
    """Inverse observed information, shape (columns, columns)."""

    def __getitem__(self, name: str) -> tuple[float, float]:
        """Return a coefficient and its standard error: the larger of the robust one and the likelihood's.

        Raises:
            KeyError: the column was left out.
        """
        if name not in self.names:
            raise KeyError(name)
        at = self.names.index(name)
        variance = max(self.covariance[at, at], self.model_covariance[at, at])
        return float(self.coefficients[at]), float(variance**0.5)
