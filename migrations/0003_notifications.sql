-- Notices of what happened, and to whom each is to be brought.
--
-- A notice is one event, told once to each recipient of each channel: its deliveries. Both are written in the transaction of
-- the change that they tell of. The id of a delivery never changes, and goes with every attempt: it is what the far side can
-- recognise a repetition by. `while_pending` is 1 where the notice is of use only until its request is decided.
--
-- The request is not a foreign key: a test notice has none, and a notice outlives whatever becomes of its request's row.

create table notices (
    id text not null,
    kind text not null,
    request_id text,
    notice text not null,
    while_pending bigint not null,
    created_ms bigint not null,
    constraint notice_has_one_id primary key (id),
    constraint notice_is_for_always_or_while_pending check (while_pending in (0, 1))
);

create index notices_by_request on notices (request_id) where while_pending = 1;
create index notices_by_age on notices (created_ms);

create table deliveries (
    id text not null,
    notice_id text not null,
    channel text not null,
    recipient text not null,
    state text not null,
    attempts bigint not null,
    due_ms bigint not null,
    last_error text,
    ended_ms bigint,
    version bigint not null,
    constraint delivery_has_one_id primary key (id),
    constraint delivery_is_of_a_notice foreign key (notice_id) references notices (id),
    constraint delivery_is_one_for_each_recipient unique (notice_id, channel, recipient),
    constraint delivery_state_is_known check (state in ('dead', 'pending', 'sent')),
    constraint delivery_is_pending_until_it_ended check ((state = 'pending') = (ended_ms is null)),
    constraint delivery_counts_attempts check (attempts >= 0)
);

create index pending_deliveries_by_time on deliveries (channel, due_ms) where state = 'pending';
create index ended_deliveries_by_time on deliveries (ended_ms) where state <> 'pending';
