"""The words of the shop: what its categories, collections and brands are called and what is said about them.

Nothing here names a colour, a pattern or a silhouette: those are for the pictures alone.
"""

from typing import NamedTuple


class CategoryWords(NamedTuple):
    """How a category is written about; ``{material}`` stands in ``item``, and features are noun phrases."""

    noun: str
    item: str
    pronoun: str
    materials: tuple[str, ...]
    features: tuple[str, ...]


class CollectionWords(NamedTuple):
    """A collection's label, its model names and sentences in which ``{noun}`` stands for the product."""

    label: str
    names: tuple[str, ...]
    sentences: tuple[str, ...]


CATEGORY_WORDS = {
    "mug": CategoryWords(
        "mug",
        "{material} mug",
        "mug",
        ("stoneware", "porcelain", "earthenware", "enamelled steel"),
        (
            "a handle that leaves room for a whole hand",
            "a heavy base that stays put on a crowded table",
            "space for a generous morning coffee",
            "walls thick enough to keep tea warm to the last sip",
            "a fine rim that is pleasant to drink from",
            "a glaze that shrugs off the dishwasher",
        ),
    ),
    "teapot": CategoryWords(
        "teapot",
        "{material} teapot",
        "teapot",
        ("stoneware", "porcelain", "cast iron", "enamelled steel"),
        (
            "a spout that pours without a drip",
            "a lid that stays on to the last cup",
            "a steel basket for loose leaves",
            "room for four generous cups of tea",
            "a handle that keeps cool while the tea brews",
            "a knob that is easy to grip with a tea towel",
        ),
    ),
    "plant-pot": CategoryWords(
        "plant pot",
        "{material} plant pot",
        "pot",
        ("stoneware", "fibre clay", "glazed ceramic", "recycled plastic"),
        (
            "a drainage hole and a saucer that catches the water",
            "enough depth for roots that like to wander",
            "felt feet that spare the windowsill",
            "a rim that is easy to lift when repotting",
            "a glazed inside that keeps the soil moist",
            "a houseplant already settled in its potting soil",
        ),
    ),
    "lamp": CategoryWords(
        "table lamp",
        "{material} table lamp",
        "lamp",
        ("powder-coated steel", "lacquered beech", "spun aluminium", "ceramic"),
        (
            "a warm light that dims to a glow",
            "a fabric cable with a switch within reach",
            "a weighted foot that does not tip over",
            "a shade that spares the eyes",
            "a bulb that lasts fifteen years",
            "a touch switch that remembers its last setting",
        ),
    ),
    "clock": CategoryWords(
        "clock",
        "{material} clock",
        "clock",
        ("lacquered birch", "moulded resin", "powder-coated steel", "enamelled aluminium"),
        (
            "a movement that runs without a tick",
            "hands that can be read from across the room",
            "a battery that lasts for two years",
            "an alarm that begins softly",
            "glass that does not reflect the window",
            "a movement that sets itself by radio",
        ),
    ),
    "cushion": CategoryWords(
        "cushion",
        "{material} cushion",
        "cushion",
        ("linen", "cotton velvet", "lambswool", "organic cotton"),
        (
            "a feather filling that springs back overnight",
            "a hidden zip and a washable cover",
            "piped seams that keep their line",
            "a weave that grows softer with every wash",
            "a filling that supports the small of the back",
            "a cover that does not pill",
        ),
    ),
    "chair": CategoryWords(
        "chair",
        "{material} chair",
        "chair",
        ("lacquered beech", "moulded plywood", "powder-coated steel", "recycled plastic"),
        (
            "a back that gives a little when leaned on",
            "an upholstered seat for dinners that last until midnight",
            "legs that level themselves on old floors",
            "joints that neither creak nor wobble",
            "felt glides that spare the floor",
            "a seat deep enough to tuck up one leg",
        ),
    ),
    "backpack": CategoryWords(
        "backpack",
        "{material} backpack",
        "backpack",
        ("waxed canvas", "recycled nylon", "cotton twill", "ripstop polyester"),
        (
            "a padded sleeve for a laptop",
            "zips that close with one hand in the rain",
            "straps that spread the weight over both shoulders",
            "a hidden pocket for passport and keys",
            "space for two days of clothes",
            "a bottle holder that holds on",
        ),
    ),
    "sneakers": CategoryWords(
        "sneakers",
        "pair of {material} sneakers",
        "pair",
        ("canvas", "leather", "suede", "knitted mesh"),
        (
            "soles that grip on wet cobblestones",
            "an insole that can be taken out and washed",
            "a heel that needs no breaking in",
            "laces that stay tied",
            "stitching that goes all the way through the sole",
            "a tongue that stays where it belongs",
        ),
    ),
    "headphones": CategoryWords(
        "headphones",
        "pair of {material} headphones",
        "pair",
        ("anodised aluminium", "recycled plastic", "soft-touch resin", "lacquered birch"),
        (
            "forty hours of music on one charge",
            "ear cushions that stay cool through a long album",
            "noise cancelling that leaves voices alone",
            "a sound that is warm without being thick",
            "a cable for the days when the battery is empty",
            "a headband that does not press",
        ),
    ),
    "guitar": CategoryWords(
        "guitar",
        "{material} guitar",
        "guitar",
        ("spruce", "maple", "cedar", "alder"),
        (
            "a low action that is kind to fingertips",
            "tuners that hold through a whole set",
            "a neck that feels played in from the first chord",
            "a voice that carries to the back of the room",
            "a set of strings already broken in",
            "frets that are levelled and polished by hand",
        ),
    ),
    "bicycle": CategoryWords(
        "bicycle",
        "{material} bicycle",
        "bicycle",
        ("chromoly steel", "aluminium", "titanium", "recycled steel"),
        (
            "hub gears that ask for no attention",
            "tyres that shrug off broken glass",
            "brakes that bite in the rain",
            "a dynamo that powers both lamps",
            "a saddle that is ready for a whole day",
            "bags that click off and come along indoors",
        ),
    ),
}

COLLECTION_WORDS = {
    "city": CollectionWords(
        "City Living",
        ("Loft", "Metro", "Corner", "Stairwell", "Rooftop", "Alley", "Kiosk", "Plaza", "Quarter", "Tramway"),
        (
            "It was designed for city flats in which every shelf counts.",
            "City living inspired this {noun}: it asks for little room and moves house without complaint.",
            "Anyone who shares a city apartment will be glad of how little room it needs.",
            "It is for people whose apartment is small and whose city is large.",
            "Small city flats and busy streets were on the designer's mind from the first sketch.",
            "In one city flat it earns its place, and in the next apartment it will again.",
        ),
    ),
    "study": CollectionWords(
        "Study",
        ("Chapter", "Margin", "Lectern", "Folio", "Thesis", "Ledger", "Scholar", "Index", "Footnote", "Seminar"),
        (
            "It keeps students and desk workers company through long hours of reading.",
            "Made for the study, this {noun} is at its best beside books and unfinished work.",
            "Students keep it near their books in the weeks before an exam.",
            "It was tried out in libraries and at desks until nothing distracted from the work.",
            "It is meant for desks, deadlines and deep reading.",
            "Whoever works among books and papers will want this {noun} near the desk.",
        ),
    ),
    "garden": CollectionWords(
        "Garden",
        ("Arbour", "Trellis", "Meadow", "Hedgerow", "Orchard", "Bramble", "Pergola", "Clover", "Thicket", "Nettle"),
        (
            "It is as happy on the terrace as in the garden shed.",
            "Made for gardeners, this {noun} does not mind rain, soil or a summer outdoors.",
            "Take it out to the garden in April and leave it there until the leaves fall.",
            "It is made for the garden, the terrace and a whole summer outdoors.",
            "Gardeners tested it through a wet spring and a hot summer outdoors.",
            "Between flower beds and terrace it feels at home.",
        ),
    ),
    "family": CollectionWords(
        "Family",
        ("Playroom", "Hopscotch", "Picnic", "Treehouse", "Marbles", "Pancake", "Sandbox", "Kite", "Puddle", "Lullaby"),
        (
            "It was made for families and survives children, pets and birthday parties.",
            "Parents like how sturdy it is, and children claim this {noun} as their own.",
            "The children of the family were welcome at every stage of testing.",
            "It is made for family homes where children have a say.",
            "Children may help themselves to this {noun}; it forgives every tumble.",
            "It has been through a busy family home and came out smiling.",
        ),
    ),
    "gift": CollectionWords(
        "Celebration",
        ("Ribbon", "Jubilee", "Confetti", "Toast", "Keepsake", "Garland", "Fanfare", "Candle", "Bouquet", "Surprise"),
        (
            "It arrives in a gift box with a card for a few kind words.",
            "As a wedding or birthday present this {noun} is hard to beat.",
            "As a present it comes gift-wrapped on request, with a card.",
            "A birthday, a wedding, a first home: it makes a present for every celebration.",
            "It is the birthday gift that people keep when the party is long over.",
            "Friends often give it as a present and then come back to buy one for themselves.",
        ),
    ),
    "coast": CollectionWords(
        "Coast",
        ("Harbour", "Tidal", "Pier", "Lighthouse", "Skerry", "Driftwood", "Regatta", "Anchor", "Breakwater", "Gull"),
        (
            "It was dreamt up in a harbour town and can cope with salt air.",
            "Sailors and beach walkers will recognise where this {noun} comes from.",
            "It brings a little of the sea and of the harbour into everyday life.",
            "Salt, wind and a summer at the beach leave it unimpressed.",
            "It recalls mornings by the sea, when the boats go out.",
            "Something of the harbour, of boats and of tides has found its way into this {noun}.",
        ),
    ),
    "heritage": CollectionWords(
        "Heritage",
        ("Guild", "Almanac", "Foundry", "Chandler", "Sexton", "Wainwright", "Archive", "Homestead", "Mill", "Cobbler"),
        (
            "It follows a design from the archive that has hardly changed in a century.",
            "Craftspeople make it by hand, the way their grandparents did.",
            "This {noun} was redrawn from an old catalogue in the archive.",
            "Traditional craft and a century of practice stand behind it.",
            "It looks back to an old workshop tradition without a trace of nostalgia.",
            "This {noun} is made by hand on machines older than the people who run them.",
        ),
    ),
    "lifetime": CollectionWords(
        "Lifetime",
        ("Mender", "Perennial", "Keeper", "Rivet", "Patina", "Steady", "Evermore", "Anvil", "Hinge", "Toolbox"),
        (
            "Every part can be replaced, and spare parts are kept for thirty years.",
            "It was built for repair, and spare parts come in the same box.",
            "The maker takes this {noun} back, repairs it and sells it on.",
            "It comes with spare parts and free repairs for as long as you own it.",
            "Spare parts and a repair guide are included, so it may well outlive its owner.",
            "Should anything break, the repair is free: this {noun} is meant to last a lifetime.",
        ),
    ),
}

BRAND_SENTENCES = {
    "Fennmark": (
        "Fennmark is a workshop of nine people on the edge of a moor.",
        "Like everything from the Fennmark workshop, it is signed by the person who finished it.",
        "At Fennmark, nine people see each piece through from start to finish.",
    ),
    "Oskelby": (
        "Oskelby guarantees it for ten years.",
        "Oskelby tests every design for a year before selling the first one.",
        "A ten-year guarantee from Oskelby is part of the price.",
    ),
    "Tamsin & Rowe": (
        "Tamsin & Rowe began at a market stall and still answer every letter.",
        "The founders, Tamsin & Rowe, still choose every supplier themselves.",
        "Tamsin & Rowe make it in small batches, so it sells out now and then.",
    ),
    "Velgard": (
        "Velgard engineers everything to the tenth of a millimetre.",
        "Velgard comes from toolmaking, and the precision shows.",
        "With Velgard, the precision of a laboratory comes home.",
    ),
    "Liora Works": (
        "Liora Works pays its makers a fair wage and publishes the figures.",
        "For every one sold, Liora Works trains an apprentice for a day.",
        "Liora Works is owned by the people who make it.",
    ),
    "Pellworth": (
        "Pellworth keeps its prices low by selling without middlemen.",
        "Pellworth offers honest quality at a price that students can pay.",
        "As ever with Pellworth, the price is the pleasant part.",
    ),
}

PRICE_LEVEL = {
    "Fennmark": 1.25,
    "Oskelby": 1.1,
    "Tamsin & Rowe": 1.0,
    "Velgard": 1.4,
    "Liora Works": 1.05,
    "Pellworth": 0.7,
}
