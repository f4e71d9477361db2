//! What the shop sells, to whom, and who carries it.

/// One article.
#[derive(Debug)]
pub(super) struct Article {
    pub(super) sku: &'static str,
    pub(super) name: &'static str,
    pub(super) price_cents: u64,
}

const fn article(sku: &'static str, name: &'static str, price_cents: u64) -> Article {
    Article {
        sku,
        name,
        price_cents,
    }
}

pub(super) const ARTICLES: &[Article] = &[
    article("TEA-1102", "Assam leaf tea, 250 g", 890),
    article("TEA-1107", "Sencha leaf tea, 100 g", 1_150),
    article("TEA-1121", "Peppermint, 20 bags", 349),
    article("COF-2001", "House espresso, 1 kg", 2_190),
    article("COF-2004", "Ethiopia Yirgacheffe, 250 g", 995),
    article("COF-2010", "Decaf filter coffee, 500 g", 1_245),
    article("MUG-3001", "Stoneware mug, grey", 1_490),
    article("MUG-3002", "Stoneware mug, blue", 1_490),
    article("MUG-3017", "Enamel mug, 0.35 l", 1_190),
    article("POT-3105", "Cast iron teapot, 0.8 l", 5_900),
    article("POT-3110", "Glass teapot, 1.2 l", 3_450),
    article("KET-3203", "Gooseneck kettle, 1 l", 7_990),
    article("FIL-3301", "Paper filters, 100 pieces", 429),
    article("GRD-3402", "Hand grinder, ceramic burrs", 6_490),
    article("SCL-3501", "Kitchen scale, 0.1 g", 2_795),
    article("SPN-3609", "Teaspoons, set of six", 1_890),
    article("TIN-3701", "Storage tin, 500 g", 1_095),
    article("TIN-3702", "Storage tin, 250 g", 895),
    article("HON-4001", "Linden honey, 500 g", 749),
    article("CHO-4102", "Dark chocolate 72 %, 100 g", 395),
    article("CHO-4107", "Milk chocolate with hazelnut, 100 g", 395),
    article("BIS-4203", "Butter biscuits, 200 g", 479),
    article("JAM-4305", "Apricot jam, 220 g", 525),
    article("BOK-5001", "The Tea Companion, hardcover", 2_950),
    article("BOK-5004", "Brewing at Home, paperback", 1_780),
    article("APR-6002", "Linen apron, natural", 3_290),
    article("TWL-6101", "Tea towels, set of three", 1_690),
    article("GFT-7001", "Gift box, small", 650),
    article("GFT-7002", "Gift box, large", 950),
    article("MCH-8001", "Espresso machine, dual boiler", 124_900),
];

pub(super) const CUSTOMERS: &[&str] = &[
    "ines-moreau",
    "jonas-weber",
    "sofia-rossi",
    "piotr-nowak",
    "freya-jensen",
    "luca-ferrari",
    "anna-kowalska",
    "mateo-garcia",
    "elin-berg",
    "tomas-novak",
    "clara-dubois",
    "felix-hofer",
    "maria-silva",
    "noah-devries",
    "katya-ivanova",
    "owen-murphy",
    "lea-fischer",
    "hugo-martin",
    "zofia-zielinska",
    "ida-larsen",
    "marco-bianchi",
    "emma-claes",
    "viktor-horvat",
    "nina-keller",
    "pedro-costa",
    "saoirse-kelly",
    "lars-nilsson",
    "julia-schmid",
    "andrei-popescu",
    "eva-marti",
    "simon-leroy",
    "greta-olsen",
    "dario-greco",
    "mila-petrova",
    "jan-bakker",
    "alice-bernard",
    "oskar-lind",
    "carla-ruiz",
    "theo-papadakis",
    "hanna-virtanen",
];

pub(super) const CARRIERS: &[&str] = &["DHL", "DPD", "GLS", "PostNord", "UPS"];

pub(super) const CANCEL_REASONS: &[&str] = &[
    "changed my mind",
    "ordered twice",
    "delivery takes too long",
    "found it in the shop around the corner",
    "wrong address",
];
