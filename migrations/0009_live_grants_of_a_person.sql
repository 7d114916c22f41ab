-- How many grants that are not over a person has under a policy is counted before one more is made. What is used up is held until
-- its end, so it counts.

create index live_grants_by_holder on grants (principal_key, policy, ends_ms) where state in ('live', 'used-up');
