"""The simulated catalogue: every ad's hidden attributes, what the seller publishes of them, lifetimes, price drops."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twotower.data.dataset import ItemVersions, Lifetimes
from twotower.data.sources.marketplace import names
from twotower.data.sources.marketplace.calendar import DAY, END, N_DAYS, START, YEAR
from twotower.data.tables import MISSING, Categories, Column, FeatureSchema, FeatureTable, Kind
from twotower.types import Array, Bools, Floats

LIMITS = {
    "consumption": (0.0, 20.0),
    "first_registration": (-20.0 * YEAR, 50.0 * YEAR),
    "latitude": (40.0, 60.0),
    "longitude": (-5.0, 25.0),
    "mileage": (0.0, 1e6),
    "price": (0.0, 5e5),
}
"""Outlier limits as published: l/100 km, seconds since the epoch, degrees, degrees, km, euro."""
PLACE = ("latitude", "longitude")
PUBLISHED_SHARE = {"consumption": 0.72, "first_registration": 0.96, "mileage": 0.985,
                   "airbag": 0.75, "climatisation": 0.85, "colour": 0.97, "doors": 0.98, "fuel": 0.985,
                   "previous_owners": 0.6, "seats": 0.8, "transmission": 0.98}  # fmt: skip
"""Share of ads in which the seller fills the field in; the other fields are always there."""
OUTLIER_SHARE = 0.0008
"""Share of typing errors per continuous field; six fields keep more than 99 % of the ads clean."""
MEAN_LIFE_DAYS = 45.0
PRICE_NOISE = 0.16
"""Standard deviation of the log price that sellers ask around what the vehicle is worth."""


@dataclass(frozen=True, slots=True, eq=False)
class Ads:
    """What is true of every ad, published or not. N rows.

    Attributes:
        codes: int32 columns model, make, subcategory, fuel, transmission, colour (what tastes look at). Shape [N, 6].
        traits: float32 columns log price, latitude, longitude, age in years. Shape [N, 4].
        city: position in `names.cities()`. Shape [N].
        km: mileage. Shape [N].
        models: the models on sale.
        lifetimes: listed and sold.
    """

    codes: NDArray[np.int32]
    traits: Floats
    city: Array
    km: Array
    models: names.Models
    lifetimes: Lifetimes

    def __len__(self) -> int:
        return len(self.codes)


def make_ads(n_items: int, n_models: int, stock_share: float, rng: np.random.Generator) -> Ads:
    """Draws ads: the model fixes make, body and price level; age and mileage lower the price; places are cities.

    Args:
        n_items: ads.
        n_models: models on sale.
        stock_share: share of the ads that are already listed when the window opens.
        rng: source of chance.
    """
    models = names.models(n_models, rng)
    model = rng.choice(len(models.name), n_items, p=models.share).astype(np.int32)
    _every_value_once(model, len(models.name), rng)
    body = models.subcategory[model]
    age = _ages(body, rng)
    km = np.where(age < 0.2, rng.exponential(40.0, n_items), age * rng.lognormal(9.45, 0.45, n_items))
    fuel, transmission = _drive(models, model, age, rng)
    log_price = usual_log_price(models.log_price[model], age, km, transmission) + rng.normal(0, PRICE_NOISE, n_items)
    price = np.exp(np.clip(log_price, np.log(250), np.log(480_000)))
    step = np.select([price < 3000, price < 20_000], [50, 100], 500)
    price = np.maximum(np.round(price / step), 1) * step - np.where(rng.random(n_items) < 0.5, 10, 0)
    city, latitude, longitude = _places(n_items, rng)
    colour = rng.choice(len(names.COLOURS), n_items, p=names.COLOUR_SHARES / names.COLOUR_SHARES.sum())
    codes = np.stack([model, models.make[model], body, fuel, transmission, colour], axis=1).astype(np.int32)
    traits = np.stack([np.log(price), latitude, longitude, age], axis=1).astype(np.float32)
    return Ads(codes, traits, city, np.round(km), models, _lifetimes(n_items, stock_share, rng))


def usual_log_price(level: Array, age: Array, km: Array, transmission: Array) -> Array:
    """What a vehicle of a model's price level, an age in years, a mileage and a transmission is worth. Shape [N]."""
    log_price = level - 0.115 * np.minimum(age, 22) + 0.07 * np.maximum(age - 28, 0)
    return np.asarray(log_price + -0.0022 * km / 1000 + 0.12 * (transmission > 0))


def bargains(ads: Ads) -> Array:
    """How far each ad's price lies below what its vehicle is worth, in standard deviations, at most 3. Shape [N]."""
    usual = usual_log_price(ads.models.log_price[ads.codes[:, 0]], ads.traits[:, 3], ads.km, ads.codes[:, 4])
    return np.asarray(np.clip((usual - ads.traits[:, 0]) / PRICE_NOISE, -3, 3))


def _every_value_once(codes: Array, n_values: int, rng: np.random.Generator) -> None:
    """Overwrites a few codes in place so that each value occurs, where there are rows enough."""
    absent = np.flatnonzero(np.bincount(codes, minlength=n_values) == 0)[: len(codes) // 100]
    codes[rng.choice(len(codes), len(absent), replace=False)] = absent


def _ages(body: Array, rng: np.random.Generator) -> Array:
    """Years since first registration on the first day of the window. Shape [N]."""
    n = len(body)
    age = rng.gamma(1.9, 3.7, n)
    age = np.where(rng.random(n) < 0.11, rng.random(n) * 0.2, age)
    classic = (rng.random(n) < 0.012) & (body < 14)
    return np.where(classic, rng.uniform(28, 62, n), np.minimum(age, 45))


def _drive(models: names.Models, model: Array, age: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Fuel and transmission: a model has its own diesel and automatic share; rare fuels are rare. Shapes [N], [N]."""
    n, k = len(model), len(models.name)
    is_car, heavy = models.subcategory < 8, models.subcategory >= 14
    diesel = np.where(heavy, 0.94, np.where(is_car, rng.beta(2.2, 2.6, k), 0.0))
    automatic = np.where(is_car, 1 / (1 + np.exp(-1.9 * (models.log_price - 10.4))), np.where(heavy, 0.2, 0.02))
    fuel = (rng.random(n) < diesel[model]).astype(np.int32)
    rare_shares = np.array([0.3, 0.16, 0.24, 0.05, 0.17, 0.05, 0.01, 0.02])
    rare = (rng.random(n) < 0.035) & is_car[model]
    fuel[rare] = 2 + rng.choice(8, int(rare.sum()), p=rare_shares)
    fuel[np.char.startswith(models.name.astype(str), "Tesla")[model]] = names.FUELS.index("Electric")
    shift = automatic[model] * np.where(age > 15, 0.5, 1.0)
    transmission = (rng.random(n) < shift).astype(np.int32) + (rng.random(n) < 0.02)
    return fuel, np.minimum(transmission, 2)


def _places(n: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """City, latitude and longitude: cities by share, a two-sided exponential scatter of about 30 km. Shapes [N]."""
    _, latitude, longitude, share = names.cities()
    city = rng.choice(len(share), n, p=share).astype(np.int32)
    north, east = rng.laplace(0, 0.22, (2, n))
    return city, np.clip(latitude[city] + north, 40, 60), np.clip(longitude[city] + 1.5 * east, -5, 25)


def _lifetimes(n: int, stock_share: float, rng: np.random.Generator) -> Lifetimes:
    """A steady market: exponential stays, so the stock's past and future stays have the same law."""
    stock = rng.random(n) < stock_share
    born = rng.random(n) * (N_DAYS - 0.25) * DAY
    since = np.where(stock, -rng.exponential(MEAN_LIFE_DAYS * DAY, n) - 1, born)
    rest = 6 * 3600 + rng.exponential(MEAN_LIFE_DAYS * DAY, n)
    until = np.where(stock, rest, since + rest)
    return Lifetimes((START + since).astype(np.int64), (START + until).astype(np.int64))


def price_drops(ads: Ads, rng: np.random.Generator) -> ItemVersions:
    """Up to three later, lower prices for about a fifth of the ads, at moments of their lives up to the end."""
    item = np.repeat(np.arange(len(ads)), rng.choice(4, len(ads), p=[0.79, 0.14, 0.05, 0.02]))
    since, until = ads.lifetimes.since[item], np.minimum(ads.lifetimes.until[item], END)
    moment = since + 1 + (rng.random(len(item)) * (until - since - 1)).astype(np.int64)
    item, moment = np.unique(np.stack([item, moment]), axis=1)
    first = np.flatnonzero(np.diff(item, prepend=-1))
    cut = rng.uniform(0.02, 0.09, len(item))
    total = np.cumsum(cut)
    total -= np.repeat((total - cut)[first], np.diff(np.append(first, len(item))))
    price = np.round(np.exp(ads.traits[item, 0] - total) / 10) * 10
    schema = FeatureSchema((Column("price", Kind.CONTINUOUS, *LIMITS["price"]),))
    return ItemVersions(item, moment, FeatureTable(schema, {"price": price.astype(np.float64)}, len(item)))


def publish(ads: Ads, rng: np.random.Generator) -> FeatureTable:
    """The catalogue as sellers fill it in: fields left empty, a few typing errors beyond the outlier limits."""
    n = len(ads)
    continuous = _continuous(ads, rng)
    categorical = _categorical(ads, continuous["price"], rng)
    values: dict[str, Array | Categories] = {}
    for name, column in continuous.items():
        values[name] = np.where(_left_empty(name, n, rng), np.nan, column)
    for name, (codes, labels) in categorical.items():
        values[name] = _coded(np.where(_left_empty(name, n, rng), MISSING, codes), labels)
    ordered = sorted(values)
    columns = tuple(
        Column(name, Kind.PLACE if name in PLACE else Kind.CONTINUOUS, *LIMITS[name])
        if name in LIMITS
        else Column(name, Kind.CATEGORICAL)
        for name in ordered
    )
    return FeatureTable(FeatureSchema(columns), {name: values[name] for name in ordered}, n)


def _left_empty(name: str, n: int, rng: np.random.Generator) -> Bools:
    return rng.random(n) >= PUBLISHED_SHARE.get(name, 1.0)


def _coded(codes: Array, labels: Array | tuple[str, ...]) -> Categories:
    """Keeps the values that occur, sorted by name."""
    labels = np.asarray(labels, dtype=object)
    occurs = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(labels)))
    occurs = occurs[np.argsort(labels[occurs])]
    rank = np.full(len(labels) + 1, MISSING, np.int32)
    rank[occurs] = np.arange(len(occurs))
    return Categories(rank[codes], labels[occurs])


def _continuous(ads: Ads, rng: np.random.Generator) -> dict[str, Array]:
    """True values of the six continuous fields, then typing errors. Each float64 [N]."""
    n, body, fuel = len(ads), ads.codes[:, 2], ads.codes[:, 3]
    base = np.select([body < 8, body < 14, body < 18, body < 21], [5.2, 4.6, 9.2, 8.6], 15.5)
    level = 0.9 * (ads.models.log_price[ads.codes[:, 0]] - 9.9) * (body < 8)
    litres = base + level + np.where(fuel == 0, 1.3, 0.0) + 0.05 * ads.traits[:, 3] + rng.normal(0, 0.5, n)
    columns = {
        "consumption": np.round(np.clip(np.where(fuel == 6, 0.0, litres), 0, 19.9), 1),
        "first_registration": np.round(START - ads.traits[:, 3].astype(np.float64) * YEAR),
        "latitude": ads.traits[:, 1].astype(np.float64),
        "longitude": ads.traits[:, 2].astype(np.float64),
        "mileage": np.minimum(ads.km, 999_000.0),
        "price": np.round(np.exp(ads.traits[:, 0].astype(np.float64)) / 10) * 10,
    }
    errors = {"consumption": 10.0, "first_registration": -100.0 * YEAR, "latitude": 0.1, "longitude": 10.0,
              "mileage": 100.0, "price": 1000.0}  # fmt: skip
    for name, factor in errors.items():
        wrong = rng.random(n) < OUTLIER_SHARE
        slipped = columns[name] + factor if name == "first_registration" else columns[name] * factor
        columns[name] = np.where(wrong, slipped, columns[name])
    return columns


def _categorical(ads: Ads, price: Array, rng: np.random.Generator) -> dict[str, tuple[Array, Array | tuple[str, ...]]]:
    """Codes [N] and labels of the fifteen categorical fields."""
    n, (model, make, body, fuel, transmission, colour) = len(ads), ads.codes.T
    facts = list(names.SUBCATEGORIES.values())
    groups = tuple(dict.fromkeys(fact[0] for fact in facts))
    country_of_city = names.cities()[0]
    countries = np.unique(country_of_city)
    country = np.searchsorted(countries, country_of_city)[ads.city]
    home_site = np.array([names.SITE_OF_COUNTRY.get(code, 8) for code in country_of_city])[ads.city]
    age, level = ads.traits[:, 3], ads.models.log_price[model] - 9.9
    comfort = np.clip(2.4 + 0.8 * level - 0.09 * age + rng.normal(0, 0.8, n), 0, 4)
    seats = np.array([fact[2] for fact in facts])[body] + rng.choice([-1, 0, 1, 2], n, p=[0.04, 0.9, 0.03, 0.03])
    doors = np.array([fact[3] for fact in facts])[body] + rng.choice([-2, -1, 0, 1], n, p=[0.08, 0.04, 0.86, 0.02])
    owners = 1 + rng.poisson(0.13 * np.minimum(age, 30))
    condition = np.select([age < 0.2, age > 28], [0, 3], 1)
    condition = np.where((rng.random(n) < 0.03) & (condition == 1), np.where(age < 2, 2, 4), condition)
    return {
        "airbag": (np.round(np.clip(comfort + rng.normal(0, 0.6, n), 0, 4)).astype(int), names.AIRBAGS),
        "category": (np.array([groups.index(fact[0]) for fact in facts])[body], groups),
        "climatisation": (np.round(comfort).astype(int), names.CLIMATISATIONS),
        "colour": (colour, names.COLOURS),
        "condition": (condition, names.CONDITIONS),
        "country": (country, countries),
        "doors": (np.clip(doors, 0, 6), names.DOORS),
        "fuel": (fuel, names.FUELS),
        "make": (make, ads.models.makes),
        "model": (model, ads.models.name),
        "previous_owners": (np.minimum(owners, 8) - 1, names.OWNERS),
        "seats": (np.clip(seats, 1, 9) - 1, names.SEATS),
        "site": (np.where(rng.random(n) < 0.35, 0, home_site), names.SITES),
        "subcategory": (body, tuple(names.SUBCATEGORIES)),
        "transmission": (transmission, names.TRANSMISSIONS),
    }
