import attrs
import pytest

from greenroom.graph.words import all_words
from greenroom.storage import ItemQuery, MemoryStorage, ProlongItem, PutItem
from greenroom.storage.testing import StorageContract, make_item


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def new_storage(self):
        storage = MemoryStorage()
        return lambda: storage


def test_the_words_of_an_item_are_looked_for_once_however_often_it_is_searched_and_read(
    monkeypatch,
):
    looked_at = []

    def noted(text):
        looked_at.append(text)
        return all_words(text)

    monkeypatch.setattr("greenroom.graph.words.all_words", noted)
    storage = MemoryStorage()
    storage.open()
    epoch = storage.acquire_lease("tests").epoch
    item = attrs.evolve(make_item(("a",), "k"), ttl=1.0, expires_at="2030")
    storage.commit([[PutItem(item, "a long story")]], epoch)
    for later in ("2031", "2032", "2033"):
        (found,) = storage.search_items(ItemQuery(now="2029", words=("story",)))
        assert found.score == 1.0
        storage.commit([[ProlongItem(("a",), "k", ttl=1.0, expires_at=later)]], epoch)
    assert looked_at == ["a long story"]
