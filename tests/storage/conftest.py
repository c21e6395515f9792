import pytest

pytest.register_assert_rewrite("greenroom.storage.testing")
