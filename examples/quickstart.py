"""A market, its split, towers and RankNet, and five ads for user 42: the library in ten lines."""

from twotower import ByWeek, Marketplace, TwoTower
from twotower.metrics.ranking import average_precision

dataset = Marketplace(size="demo").load()
split = ByWeek(test_week="2017-W18").split(dataset)
model = TwoTower(epochs=3, seed=0).fit(split)

queries = split.test.queries()
top = model.recommend(queries, k=5)
print(f"MAP@5 of {len(queries)} users: {average_precision(top, split.test.relevant(), k=5).mean():.4f}")

row = queries.users.tolist().index(dataset.user_ids.to_internal([42])[0])
for item, score in zip(top.items[row], top.scores[row], strict=True):
    ad = dataset.items.describe(item)
    print(f"{score:6.2f}", *(ad.get(name, "?") for name in ("model", "fuel", "mileage", "price")), sep="  ")
