//! Records owed to the audit log: written in the transaction of the change that they tell of, taken out once the log has them,
//! so that a crash between the two loses none.

use uuid::Uuid;

use super::database::{Transaction, sql};
use super::{Store, StoreError, change_one};

/// A record that the audit log must have. What it says is the caller's; here it is a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedRecord {
    /// The record's id (UUID v7): records are owed in this order.
    pub id: Uuid,
    /// The grant that may not count while this is owed.
    pub grant: Option<Uuid>,
    /// The record, as JSON.
    pub json: String,
}

impl Store {
    /// The first `most` records that are owed, in order.
    pub async fn owed_records(&self, most: i64) -> Result<Vec<OwedRecord>, StoreError> {
        let found = sql("select * from audit_outbox order by id limit $1").bind(most);
        let rows = self.database.rows(found).await?;
        rows.iter()
            .map(|row| {
                Ok(OwedRecord {
                    id: row.id("id")?,
                    grant: row.maybe_parsed("grant_id")?,
                    json: row.text("event")?,
                })
            })
            .collect()
    }

    /// Takes out records that the audit log now has. One that is out already is no error.
    pub async fn settle_records(&self, ids: &[Uuid]) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        for id in ids {
            let delete = sql("delete from audit_outbox where id = $1").bind(*id);
            transaction.execute(delete).await?;
        }
        Ok(transaction.commit().await?)
    }
}

pub(super) async fn add(
    transaction: &mut Transaction,
    record: &OwedRecord,
) -> Result<(), StoreError> {
    let insert = sql("insert into audit_outbox (id, grant_id, event) values ($1, $2, $3)")
        .bind(record.id)
        .bind(record.grant.map(|id| id.to_string()))
        .bind(record.json.as_str());
    change_one(transaction, insert).await
}
