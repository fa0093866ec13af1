"""Vocabulary of the simulated vehicle market: makes and their models, cities, body types, small value lists."""

from dataclasses import dataclass

import numpy as np

from twotower.types import Array

SUBCATEGORIES: dict[str, tuple[str, float, int, int]] = {
    # name: (category, log10 price relative to the make's level, seats, doors)
    "Small Car": ("Car", -0.22, 5, 5),
    "Saloon": ("Car", 0.08, 5, 4),
    "Estate Car": ("Car", 0.05, 5, 5),
    "Off-road Vehicle": ("Car", 0.18, 5, 5),
    "Van / Minibus": ("Car", 0.06, 7, 5),
    "Cabriolet / Roadster": ("Car", 0.20, 4, 2),
    "Sports Car / Coupé": ("Car", 0.26, 4, 3),
    "Other Car": ("Car", 0.0, 5, 5),
    "Naked Bike": ("Motorbike", 0.0, 2, 0),
    "Chopper / Cruiser": ("Motorbike", 0.12, 2, 0),
    "Tourer": ("Motorbike", 0.15, 2, 0),
    "Enduro": ("Motorbike", 0.0, 2, 0),
    "Scooter": ("Motorbike", -0.35, 2, 0),
    "Super Sport": ("Motorbike", 0.10, 2, 0),
    "Integrated Motorhome": ("Motorhome", 0.12, 4, 3),
    "Alcove Motorhome": ("Motorhome", -0.05, 6, 3),
    "Panel Van Motorhome": ("Motorhome", 0.0, 4, 4),
    "Caravan": ("Motorhome", -0.45, 4, 1),
    "Box Van": ("Van up to 7.5 t", 0.0, 3, 4),
    "Flatbed": ("Van up to 7.5 t", 0.02, 3, 2),
    "Refrigerated Van": ("Van up to 7.5 t", 0.15, 3, 4),
    "Tractor Unit": ("Truck over 7.5 t", 0.1, 2, 2),
    "Tipper": ("Truck over 7.5 t", 0.0, 3, 2),
    "Swap Body": ("Truck over 7.5 t", -0.1, 2, 2),
}
"""Body types; the letters in `MAKES` are their positions: a is the first."""

MAKES = """
Volkswagen|220|4.42|Golf a,Passat c,Polo a,Tiguan d,Touran e,Caddy s,Transporter s,up! a,Sharan e,Touareg d,Jetta b
Mercedes-Benz|190|4.62|C-Class b,E-Class b,A-Class a,B-Class e,GLC d,ML d,SLK f,S-Class b,Vito s,Sprinter s,Actros v
BMW|180|4.58|3 Series b,1 Series a,5 Series c,X3 d,X1 d,X5 d,Z4 f,4 Series g,7 Series b,R 1200 GS l,S 1000 RR n
Audi|150|4.55|A4 c,A3 a,A6 c,Q5 d,A1 a,A5 g,Q3 d,TT g,Q7 d,A8 b,R8 g,A2 a
Opel|110|4.30|Astra a,Corsa a,Insignia c,Zafira e,Meriva e,Mokka d,Vectra b,Vivaro s,Adam a,Antara d,Cascada f,Movano s
Ford|105|4.32|Focus a,Fiesta a,Mondeo c,Kuga d,C-Max e,S-Max e,Galaxy e,Transit s,Ka a,Mustang g,EcoSport d,Ranger d
Renault|60|4.26|Clio a,Megane a,Scenic e,Twingo a,Kangoo s,Captur d,Laguna c,Master s,Espace e,Kadjar d,Trafic s
Skoda|58|4.33|Octavia c,Fabia a,Superb c,Yeti d,Roomster e,Citigo a,Rapid a,Kodiaq d
Fiat|50|4.20|500 a,Punto a,Panda a,Ducato s,Tipo a,Doblo e,Bravo a,Freemont d,Ducato Camper q
Peugeot|48|4.26|206 a,207 a,208 a,307 a,308 a,3008 d,5008 e,Boxer s,508 c,RCZ g,Partner s
Toyota|44|4.35|Yaris a,Auris a,Corolla b,RAV 4 d,Avensis c,Aygo a,Verso e,Prius b,Land Cruiser d,Hilux d
Seat|42|4.28|Ibiza a,Leon a,Altea e,Alhambra e,Ateca d,Mii a,Exeo c
Hyundai|40|4.28|i30 a,i20 a,i10 a,Tucson d,ix35 d,Santa Fe d,i40 c,ix20 e
Nissan|38|4.30|Qashqai d,Micra a,Juke d,X-Trail d,Note e,Navara d,370Z g,Leaf a
Citroën|36|4.24|C3 a,C4 e,C1 a,Berlingo e,C5 c,Jumper s,DS3 a,Xsara Picasso e
Mazda|34|4.34|3 a,6 c,CX-5 d,2 a,MX-5 f,CX-3 d,5 e
Kia|32|4.28|Ceed a,Sportage d,Rio a,Picanto a,Sorento d,Venga e,Carens e
Volvo|30|4.52|V40 a,V70 c,XC60 d,V60 c,XC90 d,S60 b,C30 a,FH v
Smart|28|4.12|ForTwo a,ForFour a,Roadster f
Mini|28|4.40|Cooper a,One a,Countryman d,Clubman c,Cabrio f
Porsche|26|5.00|911 g,Cayenne d,Boxster f,Macan d,Panamera b,Cayman g,944 g
Suzuki|24|4.22|Swift a,Vitara d,Jimny d,SX4 d,GSX-R 750 n,Bandit i,Burgman m,V-Strom l
Honda|24|4.28|Civic a,Jazz a,CR-V d,Accord c,CBR 600 n,Africa Twin l,Hornet i,Gold Wing k,PCX m
Dacia|22|4.08|Duster d,Sandero a,Logan c,Lodgy e,Dokker e
Mitsubishi|18|4.30|Outlander d,Space Star a,ASX d,Colt a,Pajero d,L200 d
Land Rover|16|4.72|Range Rover Evoque d,Range Rover Sport d,Discovery d,Freelander d,Defender d
Alfa Romeo|15|4.38|Giulietta a,MiTo a,159 c,Giulia b,Spider f,147 a
Jeep|14|4.52|Grand Cherokee d,Wrangler d,Renegade d,Compass d,Cherokee d
Chevrolet|13|4.28|Captiva d,Cruze b,Spark a,Corvette g,Camaro g,Aveo a
Jaguar|12|4.72|XF b,XE b,F-Type f,XK g,F-Pace d,S-Type b
Subaru|10|4.42|Forester d,Impreza a,Outback c,XV d,Legacy c
Lexus|9|4.68|IS b,RX d,CT a,NX d,GS b
Chrysler|7|4.40|300C b,Voyager e,PT Cruiser e,Crossfire g
Dodge|6|4.52|RAM d,Challenger g,Caliber a,Journey e
Tesla|5|4.95|Model S b,Model X d
Maserati|5|5.02|Ghibli b,Quattroporte b,Levante d,GranTurismo g
Ferrari|4|5.32|458 g,F430 g,California f,360 g
Bentley|3|5.18|Continental g,Bentayga d,Flying Spur b
Lamborghini|2|5.36|Gallardo g,Huracan g,Aventador g
Aston Martin|2|5.16|DB9 g,Vantage g,DB11 g
Saab|5|4.35|9-3 b,9-5 c
Lancia|4|4.18|Ypsilon a,Musa e,Delta a
Daihatsu|4|4.10|Cuore a,Sirion a,Terios d
Rover|3|4.14|75 b,25 a,45 a
MG|3|4.20|MGF f,TF f,MGB f
Cadillac|2|4.72|Escalade d,CTS b,SRX d
Infiniti|2|4.55|Q50 b,FX d,Q30 a
SsangYong|3|4.30|Korando d,Rexton d,Tivoli d
Lada|3|3.98|Niva d,Kalina a,Taiga d
Isuzu|2|4.42|D-Max d,Trooper d
Yamaha|16|3.85|MT-07 i,MT-09 i,YZF-R1 n,XT 660 l,FJR 1300 k,XV 1900 j,T-Max m,YZF-R6 n
Kawasaki|13|3.84|Z 750 i,Z 1000 i,ER-6n i,ZX-6R n,Versys l,VN 900 j,Ninja 300 n
Harley-Davidson|12|4.20|Sportster j,Softail j,Dyna j,Electra Glide k,Road King k,V-Rod j
Ducati|9|4.05|Monster i,Panigale n,Multistrada k,Scrambler i,Hypermotard l
KTM|9|3.90|Duke i,Adventure l,EXC l,RC n,SMC l
Triumph|7|3.98|Street Triple i,Speed Triple i,Tiger l,Bonneville i,Thunderbird j
Aprilia|5|3.80|RSV4 n,Tuono i,Shiver i,SR m,Dorsoduro l
Vespa|5|3.62|GTS m,LX m,PX m,Primavera m
Piaggio|4|3.55|MP3 m,Beverly m,Liberty m,Zip m
Peugeot Scooters|3|3.42|Speedfight m,Tweet m,Satelis m
Moto Guzzi|3|3.92|V7 i,California j,Griso i,Stelvio l
Husqvarna|2|3.82|FE l,TE l,701 l
Hobby|6|4.38|De Luxe r,Excellent r,Optima o,Siesta p,Vantana q
Knaus|5|4.52|Sky o,Sport r,BoxStar q,Sun o,Südwind r
Dethleffs|5|4.55|Trend o,Camper r,Esprit o,Globebus q,Advantage p
Bürstner|5|4.56|Ixeo o,Averso r,Nexxo p,City Car q,Elegance o
Hymer|5|4.66|Exsis o,B-Class o,Tramp o,Eriba r,Camp p
Fendt|3|4.28|Bianco r,Tendenza r,Saphir r
Adria|3|4.42|Coral o,Twin q,Altea r,Matrix p
Carthago|2|4.88|Chic o,C-Tourer o,Malibu q
Weinsberg|2|4.40|CaraBus q,CaraOne r,CaraHome p
Pössl|3|4.55|2Win q,Roadcruiser q,Summit q
LMC|2|4.40|Cruiser o,Style r,Breezer p
MAN|6|4.65|TGX v,TGA w,TGL x,TGS w,TGM u
Iveco|5|4.42|Daily s,Stralis v,Eurocargo x,Trakker w,Daily Tipper t
DAF|4|4.62|XF v,CF w,LF x
Scania|4|4.75|R 450 v,G 400 w,R 500 v,P 320 x
Renault Trucks|2|4.60|Premium v,Magnum v,Midlum x
Multicar|1|4.30|M26 t,Fumo t
Mitsubishi Fuso|1|4.40|Canter t,Canter Cool u
"""
"""make | share | log10 of the new price in euro | models with the letter of their body type."""

VARIANTS = (
    "", "Sport", "Plus", "GT", "Cross", "Edition", "Comfort", "Style", "Business", "S", "Limited", "Classic", "Line",
    "Premium", "Turbo",
)  # fmt: skip
CITIES = """
Berlin DE 52.52 13.40 36|Hamburg DE 53.55 9.99 26|München DE 48.14 11.58 28|Köln DE 50.94 6.96 24
Frankfurt DE 50.11 8.68 24|Stuttgart DE 48.78 9.18 22|Düsseldorf DE 51.23 6.78 18|Dortmund DE 51.51 7.47 20
Leipzig DE 51.34 12.37 13|Dresden DE 51.05 13.74 11|Hannover DE 52.38 9.73 15|Nürnberg DE 49.45 11.08 15
Bremen DE 53.08 8.80 11|Mannheim DE 49.49 8.47 14|Kassel DE 51.31 9.48 8|Freiburg DE 47.99 7.85 8
Rostock DE 54.09 12.10 5|Erfurt DE 50.98 11.03 8|Wien AT 48.21 16.37 6|Graz AT 47.07 15.44 3
Zürich CH 47.37 8.54 4|Bern CH 46.95 7.45 2|Paris FR 48.86 2.35 8|Lyon FR 45.76 4.84 3
Marseille FR 43.30 5.37 3|Toulouse FR 43.60 1.44 2|Bruxelles BE 50.85 4.35 4|Antwerpen BE 51.22 4.40 3
Amsterdam NL 52.37 4.90 5|Eindhoven NL 51.44 5.48 4|Luxembourg LU 49.61 6.13 1|London GB 51.51 -0.13 2
København DK 55.68 12.57 2|Stockholm SE 59.33 18.07 1|Malmö SE 55.60 13.00 1|Oslo NO 59.91 10.75 1
Warszawa PL 52.23 21.01 4|Wrocław PL 51.11 17.04 3|Praha CZ 50.08 14.44 4|Brno CZ 49.20 16.61 2
Budapest HU 47.50 19.04 2|Bratislava SK 48.15 17.11 1|Ljubljana SI 46.06 14.51 1|Zagreb HR 45.81 15.98 1
Milano IT 45.46 9.19 6|Roma IT 41.90 12.50 4|Torino IT 45.07 7.69 3|Barcelona ES 41.39 2.17 2
Madrid ES 40.42 -3.70 2|Sofia BG 42.70 23.32 1
"""
"""name, country, latitude, longitude, share."""

FUELS = ("Petrol", "Diesel", "LPG", "Natural Gas", "Hybrid (petrol/electric)", "Hybrid (diesel/electric)", "Electric",
         "Ethanol (E85)", "Hydrogen", "Other fuel")  # fmt: skip
TRANSMISSIONS = ("Manual", "Automatic", "Semi-automatic")
COLOURS = ("Black", "Silver", "Grey", "White", "Blue", "Red", "Green", "Brown", "Beige", "Yellow", "Orange", "Gold",
           "Purple", "Bronze", "Turquoise", "Pink")  # fmt: skip
COLOUR_SHARES = np.array([23, 17, 16, 14, 12, 8, 2.5, 2.5, 1.5, 1, 0.8, 0.4, 0.3, 0.3, 0.2, 0.1])
AIRBAGS = ("None", "Driver", "Front", "Front and side", "Front, side and more")
CLIMATISATIONS = ("None", "Manual", "Automatic", "2 zones", "3 or more zones")
CONDITIONS = ("New", "Used", "Demonstration", "Classic", "Damaged")
OWNERS = ("1", "2", "3", "4", "5", "6", "7", "8 or more")
DOORS = ("0", "1", "2", "3", "4", "5", "6 or 7")
SEATS = ("1", "2", "3", "4", "5", "6", "7", "8", "9")
SITES = ("GERMANY", "AUSTRIA", "SWITZERLAND", "FRANCE", "ITALY", "POLAND", "SPAIN", "NETHERLANDS", "INTERNATIONAL")
SITE_OF_COUNTRY = {"DE": 0, "AT": 1, "CH": 2, "FR": 3, "IT": 4, "PL": 5, "ES": 6, "NL": 7}


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """All models on sale, most popular first; positions are codes.

    Attributes:
        name: "make model variant". dtype object. Shape [n].
        make: position in `makes`. Shape [n].
        subcategory: position in `SUBCATEGORIES`. Shape [n].
        share: share of all ads, sums to 1. Shape [n].
        log_price: natural logarithm of the new price, euro. Shape [n].
        makes: names of the makes. dtype object.
    """

    name: Array
    make: Array
    subcategory: Array
    share: Array
    log_price: Array
    makes: Array


def models(n: int, rng: np.random.Generator) -> Models:
    """The n most popular of all make × model × variant combinations, prices jittered per model."""
    lines = [line.split("|") for line in MAKES.strip().split("\n")]
    bodies = list(SUBCATEGORIES.values())
    rows: list[tuple[float, str, int, int, float]] = []
    for make, (make_name, weight, level, listing) in enumerate(lines):
        for rank, (model_name, body) in enumerate(entry.rsplit(" ", 1) for entry in listing.split(",")):
            subcategory = ord(body) - ord("a")
            price = float(level) + bodies[subcategory][1]
            for v, variant in enumerate(VARIANTS):
                share = float(weight) * (rank + 1) ** -0.7 * (v + 1) ** -1.6
                rows.append(
                    (share, f"{make_name} {model_name} {variant}".rstrip(), make, subcategory, price + 0.02 * v)
                )
    rows = sorted(rows, key=lambda row: (-row[0], row[1]))[:n]
    share, name, make_of, body_of, log10_price = zip(*rows, strict=True)
    jitter = rng.normal(0.0, 0.12, len(rows))
    return Models(
        np.array(name, dtype=object),
        np.array(make_of, np.int32),
        np.array(body_of, np.int32),
        np.array(share) / sum(share),
        np.array(log10_price) * np.log(10.0) + jitter,
        np.array([line[0] for line in lines], dtype=object),
    )


def cities() -> tuple[Array, Array, Array, Array]:
    """Country codes (object) [n], latitude [n], longitude [n] and shares [n] of the cities."""
    rows = [entry.split(" ") for line in CITIES.strip().split("\n") for entry in line.split("|")]
    share = np.array([float(row[4]) for row in rows])
    return (
        np.array([row[1] for row in rows], dtype=object),
        np.array([float(row[2]) for row in rows]),
        np.array([float(row[3]) for row in rows]),
        share / share.sum(),
    )
