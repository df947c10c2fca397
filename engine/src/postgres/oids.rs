//! The numbers of objects: derived from the identity that the catalog gives each, so that they stay for as long as it lives.

use std::hash::Hasher;

use weir_catalog::ObjectId;

/// PostgreSQL's numbers of its own objects are below this.
pub(crate) const FIRST: u32 = 16_384;

/// How many numbers each object of the catalog has.
const STRIDE: u32 = 8;

/// The numbers of `pg_class`, and of other tables of the catalog that rows refer to.
pub(crate) const PG_CLASS: u32 = 1259;
pub(crate) const PG_TYPE: u32 = 1247;
pub(crate) const PG_NAMESPACE: u32 = 2615;
pub(crate) const PG_CONSTRAINT: u32 = 2606;
pub(crate) const PG_ATTRDEF: u32 = 2604;
pub(crate) const PG_REWRITE: u32 = 2618;

/// The schemas that PostgreSQL has, too.
pub(crate) const CATALOG_SCHEMA: u32 = 11;
pub(crate) const PUBLIC_SCHEMA: u32 = 2200;
pub(crate) const INFORMATION_SCHEMA: u32 = 13_207;
/// The schema `weir`, and the first of its tables.
pub(crate) const WEIR_SCHEMA: u32 = 15_000;
pub(crate) const WEIR_TABLES: u32 = 15_001;

/// The database, as the one that initialisation makes.
pub(crate) const DATABASE: u32 = 5;
/// The role that owns everything.
pub(crate) const OWNER: u32 = 10;
/// The access methods of tables and of their primary keys.
pub(crate) const HEAP: u32 = 2;
pub(crate) const BTREE: u32 = 403;
/// The language of the server's own functions.
pub(crate) const INTERNAL_LANGUAGE: u32 = 12;
/// The tablespace of everything.
pub(crate) const DEFAULT_TABLESPACE: u32 = 1663;

/// The number of a relation.
pub(crate) fn relation(id: ObjectId) -> u32 {
    of(id, 0)
}

/// The number of the type of a relation's rows.
pub(crate) fn row_type(id: ObjectId) -> u32 {
    of(id, 1)
}

/// The number of the type of arrays of them.
pub(crate) fn row_array_type(id: ObjectId) -> u32 {
    of(id, 2)
}

/// The number of the index of a primary key.
pub(crate) fn key_index(id: ObjectId) -> u32 {
    of(id, 3)
}

/// The number of the constraint of a primary key.
pub(crate) fn key_constraint(id: ObjectId) -> u32 {
    of(id, 4)
}

/// The number of the rule that a view is.
pub(crate) fn view_rule(id: ObjectId) -> u32 {
    of(id, 5)
}

/// The number of a schema.
pub(crate) fn schema(id: ObjectId, name: &str) -> u32 {
    match name {
        weir_catalog::DEFAULT_SCHEMA => PUBLIC_SCHEMA,
        _ => of(id, 0),
    }
}

/// The number of a check, which has none in the catalog.
pub(crate) fn check(id: ObjectId, name: &str) -> u32 {
    of_name(id, "check", name)
}

/// The number of a column's default.
pub(crate) fn default(id: ObjectId, column: &str) -> u32 {
    of_name(id, "default", column)
}

/// The number of a function that PostgreSQL does not have.
pub(crate) fn function(name: &str) -> u32 {
    of_name(ObjectId(0), "function", name)
}

/// The number of a role other than the owner.
pub(crate) fn role(name: &str) -> u32 {
    match name {
        crate::system::OWNER => OWNER,
        _ => of_name(ObjectId(0), "role", name),
    }
}

fn of(id: ObjectId, part: u32) -> u32 {
    // Past half a thousand million objects numbers come again, as they do in PostgreSQL.
    let space = (1 << 31) - u64::from(FIRST);
    let number = id.0.wrapping_mul(u64::from(STRIDE)) % space;
    FIRST + u32::try_from(number).unwrap_or_default() + part
}

/// The object whose number this is, and which of its numbers; none where it is the number of something else.
pub(crate) fn object(oid: u32) -> Option<(ObjectId, u32)> {
    if oid == PUBLIC_SCHEMA {
        return Some((ObjectId(1), 0));
    }
    let number = oid.checked_sub(FIRST).filter(|_| oid < 1 << 31)?;
    Some((ObjectId(u64::from(number / STRIDE)), number % STRIDE))
}

/// What has a name only is numbered by a hash of it, in the upper half.
fn of_name(id: ObjectId, kind: &str, name: &str) -> u32 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.write(&id.0.to_le_bytes());
    hash.write(kind.as_bytes());
    hash.write(name.as_bytes());
    let folded = hash.finish() ^ (hash.finish() >> 32);
    (1 << 31) | (u32::try_from(folded & 0x7fff_ffff).unwrap_or_default())
}

/// FNV-1a, which is the same in every process and version.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
