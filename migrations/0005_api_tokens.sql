-- Tokens of the management API, by the digest of their secrets; and the answers that its writes got, so that a write which is
-- sent again with its Idempotency-Key is answered again and not done again.

create table api_tokens (
    id text not null,
    digest text not null,
    name text not null,
    principal_key text not null,
    principal_name text not null,
    principal_kind text not null,
    identity text not null,
    tenant text,
    scopes text not null,
    created_ms bigint not null,
    expires_ms bigint not null,
    constraint token_has_one_id primary key (id),
    constraint token_has_a_secret_of_its_own unique (digest),
    constraint token_is_of_an_app_or_a_user check (principal_kind in ('app', 'user')),
    constraint token_expires_after_it_is_made check (expires_ms > created_ms)
);

create index tokens_by_person on api_tokens (principal_key, id);

create table api_replies (
    principal_key text not null,
    idempotency_key text not null,
    fingerprint text not null,
    created_ms bigint not null,
    status bigint,
    headers text,
    body text,
    constraint reply_is_one_for_each_key primary key (principal_key, idempotency_key),
    constraint reply_is_whole_or_awaited check ((status is null) = (body is null) and (status is null) = (headers is null))
);

create index replies_by_age on api_replies (created_ms);
