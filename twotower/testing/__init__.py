"""The contracts of models as test suites: subclass one, say how your model is made, and pytest asks the rest.

```python
from twotower.testing import VectorModelTests

class TestMyModel(VectorModelTests):
    def make(self):
        return MyModel(dim=8, epochs=5)
```

Nothing here imports pytest; the suites are plain classes with `test_…` methods.
"""

from twotower.testing.data import asked, queries_of, two_tastes
from twotower.testing.models import ModelTests, ScoringModelTests, VectorModelTests
from twotower.testing.pairs import PairModelTests

__all__ = [
    "ModelTests",
    "PairModelTests",
    "ScoringModelTests",
    "VectorModelTests",
    "asked",
    "queries_of",
    "two_tastes",
]
