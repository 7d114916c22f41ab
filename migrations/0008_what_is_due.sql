-- The next that ends, and what has ended, is found by one look into an index, however many live. SQLite prefers an index with
-- the state as its first column to one that only holds rows of that state, and would read every live row.

drop index live_grants_by_end;
create index live_grants_by_end on grants (state, ends_ms) where state = 'live';

drop index requests_by_expiry;
create index requests_by_expiry on requests (state, expires_ms) where state = 'pending';
