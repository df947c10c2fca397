//! What `COMMENT ON` said: `obj_description`, `col_description`, `shobj_description`.

use super::{Function, arg, oid_arg, on, stable, text_arg};
use crate::postgres::values::Value;
use crate::postgres::{facts, oids};
use crate::system::objects::described;

pub(super) const FUNCTIONS: &[Function] = &[
    stable(
        "obj_description",
        &[
            on(&["oid", "name"], "text", |system, args| {
                let class = facts::relation("pg_catalog", text_arg(args, 1));
                let class = class.map_or(0, |class| class.oid);
                Ok(described(system, class, oid_arg(args, 0), 0).into())
            }),
            on(&["oid"], "text", |system, args| {
                let classes = [oids::PG_CLASS, oids::PG_NAMESPACE];
                let oid = oid_arg(args, 0);
                let mut found = classes
                    .into_iter()
                    .filter_map(|class| described(system, class, oid, 0));
                Ok(found.next().into())
            }),
        ],
    ),
    stable(
        "col_description",
        &[on(&["oid", "int4"], "text", |system, args| {
            let column = arg(args, 1).int().unwrap_or_default();
            if column < 1 {
                return Ok(Value::Null);
            }
            Ok(described(system, oids::PG_CLASS, oid_arg(args, 0), column).into())
        })],
    ),
    // Databases, roles and tablespaces have no comments here.
    stable(
        "shobj_description",
        &[on(&["oid", "name"], "text", |_, _| Ok(Value::Null))],
    ),
];
