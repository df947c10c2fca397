//! Rows of TPC-H's tables, by chance.

use std::fmt::Write as _;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

/// The tables.
pub(super) const TABLES: [&str; 8] = [
    "CREATE TABLE region (r_regionkey BIGINT PRIMARY KEY, r_name TEXT, r_comment TEXT)",
    "CREATE TABLE nation (n_nationkey BIGINT PRIMARY KEY, n_name TEXT, n_regionkey BIGINT, n_comment TEXT)",
    "CREATE TABLE supplier (s_suppkey BIGINT PRIMARY KEY, s_name TEXT, s_address TEXT, s_nationkey BIGINT, s_phone TEXT, \
     s_acctbal DECIMAL(15, 2), s_comment TEXT)",
    "CREATE TABLE part (p_partkey BIGINT PRIMARY KEY, p_name TEXT, p_mfgr TEXT, p_brand TEXT, p_type TEXT, p_size INTEGER, \
     p_container TEXT, p_retailprice DECIMAL(15, 2), p_comment TEXT)",
    "CREATE TABLE partsupp (ps_partkey BIGINT, ps_suppkey BIGINT, ps_availqty INTEGER, ps_supplycost DECIMAL(15, 2), \
     ps_comment TEXT, PRIMARY KEY (ps_partkey, ps_suppkey))",
    "CREATE TABLE customer (c_custkey BIGINT PRIMARY KEY, c_name TEXT, c_address TEXT, c_nationkey BIGINT, c_phone TEXT, \
     c_acctbal DECIMAL(15, 2), c_mktsegment TEXT, c_comment TEXT)",
    "CREATE TABLE orders (o_orderkey BIGINT PRIMARY KEY, o_custkey BIGINT, o_orderstatus TEXT, o_totalprice DECIMAL(15, 2), \
     o_orderdate DATE, o_orderpriority TEXT, o_clerk TEXT, o_shippriority INTEGER, o_comment TEXT)",
    "CREATE TABLE lineitem (l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber INTEGER, \
     l_quantity DECIMAL(15, 2), l_extendedprice DECIMAL(15, 2), l_discount DECIMAL(15, 2), l_tax DECIMAL(15, 2), \
     l_returnflag TEXT, l_linestatus TEXT, l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE, l_shipinstruct TEXT, \
     l_shipmode TEXT, l_comment TEXT, PRIMARY KEY (l_orderkey, l_linenumber))",
];

const REGIONS: [&str; 5] = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"];
/// Each with its region.
const NATIONS: [(&str, usize); 25] = [
    ("ALGERIA", 0),
    ("ARGENTINA", 1),
    ("BRAZIL", 1),
    ("CANADA", 1),
    ("EGYPT", 4),
    ("ETHIOPIA", 0),
    ("FRANCE", 3),
    ("GERMANY", 3),
    ("INDIA", 2),
    ("INDONESIA", 2),
    ("IRAN", 4),
    ("IRAQ", 4),
    ("JAPAN", 2),
    ("JORDAN", 4),
    ("KENYA", 0),
    ("MOROCCO", 0),
    ("MOZAMBIQUE", 0),
    ("PERU", 1),
    ("CHINA", 2),
    ("ROMANIA", 3),
    ("SAUDI ARABIA", 4),
    ("VIETNAM", 2),
    ("RUSSIA", 3),
    ("UNITED KINGDOM", 3),
    ("UNITED STATES", 1),
];
/// Where suppliers and customers are: Brazil, Canada, France, Germany, India, Saudi Arabia.
const HOMES: [usize; 6] = [2, 3, 6, 7, 8, 20];
/// What goes together in q17 and q19.
const BRANDS: [(&str, &str); 4] = [
    ("Brand#12", "SM CASE"),
    ("Brand#23", "MED BOX"),
    ("Brand#34", "LG PACK"),
    ("Brand#45", "JUMBO JAR"),
];
const TYPES: [&str; 4] = [
    "ECONOMY ANODIZED STEEL",
    "PROMO BURNISHED COPPER",
    "MEDIUM POLISHED TIN",
    "SMALL PLATED BRASS",
];
const NAMES: [&str; 4] = ["forest green", "almond blue", "green lace", "forest khaki"];
const SIZES: [i32; 5] = [1, 3, 14, 15, 49];
const PHONES: [u32; 4] = [13, 17, 18, 25];
const SEGMENTS: [&str; 2] = ["BUILDING", "MACHINERY"];
const PRIORITIES: [&str; 3] = ["1-URGENT", "2-HIGH", "5-LOW"];
const MODES: [&str; 4] = ["AIR", "AIR REG", "MAIL", "SHIP"];
const INSTRUCTIONS: [&str; 2] = ["DELIVER IN PERSON", "NONE"];

const SUPPLIERS: i64 = 24;
const PARTS: i64 = 120;
const SUPPLIERS_A_PART: i64 = 4;
const CUSTOMERS: i64 = 90;
/// Those with a higher number never order.
const ORDERING: i64 = 70;

/// Rows, one call after the other.
pub(super) struct Data {
    random: SmallRng,
    next_order: i64,
}

/// The supplier of a part, of which each has as many.
fn supplier(part: i64, which: i64) -> i64 {
    (part + which * (SUPPLIERS / SUPPLIERS_A_PART)) % SUPPLIERS
}

/// So many days after 1992-01-01, in a year of twelve months of 28 days.
fn date(day: u32) -> String {
    let (year, day) = (1992 + day / 336, day % 336);
    format!("{year}-{:02}-{:02}", 1 + day / 28, 1 + day % 28)
}

fn line(into: &mut String, row: &Value) {
    let _ = writeln!(into, "{row}");
}

impl Data {
    pub(super) fn new(random: SmallRng) -> Self {
        Self {
            random,
            next_order: 0,
        }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.random)
            .expect("there is something to choose from")
    }

    /// An amount with cents, as text.
    fn money(&mut self, range: std::ops::Range<i64>) -> String {
        let cents = self.random.random_range(0..100);
        format!("{}.{cents:02}", self.random.random_range(range))
    }

    /// All tables but those of orders.
    pub(super) fn parts(&mut self) -> Vec<(&'static str, String)> {
        let [
            mut region,
            mut nation,
            mut supplier_rows,
            mut part,
            mut partsupp,
            mut customer,
        ] = [const { String::new() }; 6];
        for (key, name) in REGIONS.iter().enumerate() {
            let row = json!({"r_regionkey": key, "r_name": name, "r_comment": ""});
            line(&mut region, &row);
        }
        for (key, (name, region)) in NATIONS.iter().enumerate() {
            let row =
                json!({"n_nationkey": key, "n_name": name, "n_regionkey": region, "n_comment": ""});
            line(&mut nation, &row);
        }
        for key in 0..SUPPLIERS {
            let row = json!({
                "s_suppkey": key, "s_name": format!("Supplier#{key:03}"), "s_address": format!("street {key}"),
                "s_nationkey": self.one(&HOMES), "s_phone": format!("{}-555", 10 + key), "s_acctbal": self.money(-500..9000),
                "s_comment": self.one(&["", "Customer of old: Complaints", "quick"]),
            });
            line(&mut supplier_rows, &row);
        }
        for key in 0..PARTS {
            let (brand, container) = self.one(&BRANDS);
            let row = json!({
                "p_partkey": key, "p_name": self.one(&NAMES), "p_mfgr": format!("Manufacturer#{}", 1 + key % 5),
                "p_brand": brand, "p_type": self.one(&TYPES), "p_size": self.one(&SIZES), "p_container": container,
                "p_retailprice": self.money(900..2000), "p_comment": "",
            });
            line(&mut part, &row);
            for which in 0..SUPPLIERS_A_PART {
                let row = json!({
                    "ps_partkey": key, "ps_suppkey": supplier(key, which), "ps_availqty": self.random.random_range(1..2000),
                    "ps_supplycost": self.money(1..1000), "ps_comment": "",
                });
                line(&mut partsupp, &row);
            }
        }
        for key in 0..CUSTOMERS {
            let row = json!({
                "c_custkey": key, "c_name": format!("Customer#{key:04}"), "c_address": format!("road {key}"),
                "c_nationkey": self.one(&HOMES), "c_phone": format!("{}-{key}", self.one(&PHONES)),
                "c_acctbal": self.money(-900..9900), "c_mktsegment": self.one(&SEGMENTS), "c_comment": "",
            });
            line(&mut customer, &row);
        }
        vec![
            ("region", region),
            ("nation", nation),
            ("supplier", supplier_rows),
            ("part", part),
            ("partsupp", partsupp),
            ("customer", customer),
        ]
    }

    /// New orders with their items.
    pub(super) fn orders(&mut self, count: i64) -> Vec<(&'static str, String)> {
        let (mut orders, mut items) = (String::new(), String::new());
        for order in self.next_order..self.next_order + count {
            let day = self.random.random_range(0..6 * 336);
            let row = json!({
                "o_orderkey": order, "o_custkey": self.random.random_range(0..ORDERING),
                "o_orderstatus": self.one(&["F", "O", "P"]), "o_totalprice": self.money(1000..400_000),
                "o_orderdate": date(day), "o_orderpriority": self.one(&PRIORITIES), "o_clerk": "",
                "o_shippriority": 0, "o_comment": self.one(&["", "some special wishes and requests"]),
            });
            line(&mut orders, &row);
            // Every tenth is as large as q18 wants it.
            let is_large = self.random.random_ratio(1, 10);
            let lines = if is_large {
                7
            } else {
                self.random.random_range(1..=7)
            };
            for number in 1..=lines {
                let row = self.item(order, number, day, is_large);
                line(&mut items, &row);
            }
        }
        self.next_order += count;
        vec![("orders", orders), ("lineitem", items)]
    }

    fn item(&mut self, order: i64, number: i64, ordered: u32, is_large: bool) -> Value {
        let part = self.random.random_range(0..PARTS);
        let which = self.random.random_range(0..SUPPLIERS_A_PART);
        let least = if is_large { 45 } else { 1 };
        let shipped = ordered + self.random.random_range(1..120);
        let flag = self.one(&["R", "A", "N"]);
        json!({
            "l_orderkey": order, "l_partkey": part, "l_suppkey": supplier(part, which), "l_linenumber": number,
            "l_quantity": self.random.random_range(least..=50), "l_extendedprice": self.money(900..90_000),
            "l_discount": format!("0.{:02}", self.random.random_range(0..=10)),
            "l_tax": format!("0.{:02}", self.random.random_range(0..=8)),
            "l_returnflag": flag, "l_linestatus": self.one(&["O", "F"]), "l_shipdate": date(shipped),
            "l_commitdate": date(ordered + self.random.random_range(30..90)),
            "l_receiptdate": date(shipped + self.random.random_range(1..30)),
            "l_shipinstruct": self.one(&INSTRUCTIONS), "l_shipmode": self.one(&MODES), "l_comment": "",
        })
    }
}
