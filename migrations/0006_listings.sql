-- Indexes for listings of one person's, one policy's or one task's requests and grants, newest first. Names and tasks are
-- compared without case, so what is indexed is what is compared.

create index requests_by_name on requests (lower(principal_name), id);
create index requests_by_folded_key on requests (lower(principal_key), id);
create index requests_by_policy on requests (policy, id);
create index requests_by_task on requests (lower(task), id);

create index grants_by_name on grants (lower(principal_name), id);
create index grants_by_folded_key on grants (lower(principal_key), id);
create index grants_by_policy on grants (policy, id);
create index grants_by_task on grants (lower(task), id);
