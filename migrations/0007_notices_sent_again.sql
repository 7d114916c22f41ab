-- An operator can have a notice tried again that was given up: since when, so that it gets its whole time once more.

alter table deliveries add column retried_ms bigint;
