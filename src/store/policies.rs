//! Policies and settings that operators change while the gateway runs. What they say is the caller's; here they are texts.

use chrono::{DateTime, Utc};

use super::database::{Row, Transaction, sql};
use super::{Store, StoreError, change_one};

/// A policy of the store, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDefinition {
    /// Its scope in lower case, which no other has.
    pub scope: String,
    /// What it says.
    pub definition: String,
    /// The name of who changed it last.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Counts its changes, from 1; 0 for one that is not stored yet.
    pub version: i64,
}

/// A setting of the whole gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: String,
    /// The name of who changed it last.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Counts its changes, from 1; 0 for one that is not stored yet.
    pub version: i64,
}

impl Store {
    /// All policies of the store, by scope.
    pub async fn policies(&self) -> Result<Vec<StoredDefinition>, StoreError> {
        let found = sql("select * from policies order by scope");
        let rows = self.database.rows(found).await?;
        rows.iter().map(read).collect()
    }

    /// The setting of this name.
    pub async fn setting(&self, name: &str) -> Result<Option<Setting>, StoreError> {
        let found = sql("select * from settings where name = $1").bind(name);
        let rows = self.database.rows(found).await?;
        rows.first()
            .map(|row| {
                Ok(Setting {
                    name: row.text("name")?,
                    value: row.text("value")?,
                    by: row.text("changed_by")?,
                    at: row.time("changed_ms")?,
                    version: row.integer("version")?,
                })
            })
            .transpose()
    }
}

pub(super) async fn put(
    transaction: &mut Transaction,
    policy: &StoredDefinition,
) -> Result<(), StoreError> {
    let StoredDefinition {
        scope,
        definition,
        by,
        at,
        version,
    } = policy;
    let statement = if *version == 0 {
        sql(
            "insert into policies (definition, changed_by, changed_ms, scope, version) values ($1, $2, $3, $4, $5 + 1)",
        )
    } else {
        sql("update policies set definition = $1, changed_by = $2, changed_ms = $3, version = version + 1
            where scope = $4 and version = $5")
    };
    let statement = statement
        .bind(definition.as_str())
        .bind(by.as_str())
        .bind(*at)
        .bind(scope.as_str())
        .bind(*version);
    change_one(transaction, statement).await
}

pub(super) async fn remove(
    transaction: &mut Transaction,
    policy: &StoredDefinition,
) -> Result<(), StoreError> {
    let delete = sql("delete from policies where scope = $1 and version = $2")
        .bind(policy.scope.as_str())
        .bind(policy.version);
    change_one(transaction, delete).await
}

pub(super) async fn put_setting(
    transaction: &mut Transaction,
    setting: &Setting,
) -> Result<(), StoreError> {
    let Setting {
        name,
        value,
        by,
        at,
        version,
    } = setting;
    let statement = if *version == 0 {
        sql(
            "insert into settings (value, changed_by, changed_ms, name, version) values ($1, $2, $3, $4, $5 + 1)",
        )
    } else {
        sql("update settings set value = $1, changed_by = $2, changed_ms = $3, version = version + 1
            where name = $4 and version = $5")
    };
    let statement = statement
        .bind(value.as_str())
        .bind(by.as_str())
        .bind(*at)
        .bind(name.as_str())
        .bind(*version);
    change_one(transaction, statement).await
}

fn read(row: &Row) -> Result<StoredDefinition, StoreError> {
    Ok(StoredDefinition {
        scope: row.text("scope")?,
        definition: row.text("definition")?,
        by: row.text("changed_by")?,
        at: row.time("changed_ms")?,
        version: row.integer("version")?,
    })
}
