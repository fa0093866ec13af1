"""A market, its split, towers and RankNet, an index, and five ads for user 42: the library in ten lines."""

from twotower.ann.exact import ExactIndex
from twotower.data.sources.marketplace import Marketplace
from twotower.data.splits import ByWeek
from twotower.recommender import TwoStageRecommender
from twotower.retrieval.retriever import Retriever
from twotower.two_tower import TwoTower
from twotower.types import Queries

dataset = Marketplace(size="demo").load()
split = ByWeek(test_week="2017-W18").split(dataset)
model = TwoTower(dim=32, epochs=2, seed=0).fit(split)
index = ExactIndex().build(model.item_vectors)
recommender = TwoStageRecommender(Retriever(model, index), model, n_candidates=200)

user = dataset.user_ids.to_internal([42])
history = split.test.history.by_user().take(user)
top = recommender.recommend(Queries.of(user, history), k=5)
for item, score in zip(top.items[0], top.scores[0], strict=True):
    car = dataset.items.describe(item)
    print(f"{score:6.3f}  {car['make']} {car['model']}, {car['mileage']:,.0f} km, {car['price']:,.0f} €")
