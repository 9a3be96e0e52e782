-- name: shown
-- The parts of one dataset that count, as a view in the schema `parts`.
-- The folder is listed twice, and the left side of a join is always bound first: so a merged part that appears between
-- the two listings is not in the first and stays out, while the parts it replaces are still there (they are deleted
-- an hour later at the earliest). Order the other way round and a reader could see neither.
create or replace view parts.{dataset} as
with listing as (
    select parse_filename(file) as part, substr(part, 1, 12) as lowest, substr(part, 14, 12) as highest,
        coalesce(try_cast(regexp_extract(part, '\.([0-9]+)\.parquet$', 1) as integer), 0) as generation
    from glob('{pattern}')
)
select rows_.* exclude (part_)
from (
    select one.part, coalesce(bool_or(other.part is not null), false) as replaced
    from listing as one
    left join (select * from listing where generation > 0) as other
        on other.generation > one.generation and other.lowest <= one.lowest and other.highest >= one.highest
    group by one.part
) as known
right join read_parquet('{pattern}', union_by_name = true, filename = 'part_') as rows_
    on known.part = parse_filename(rows_.part_)
where case when known.part is null then not regexp_matches(parse_filename(rows_.part_), '\.[0-9]+\.parquet$')
    else not known.replaced end;

-- name: schemas
create schema if not exists parts;
create schema if not exists keys;

-- name: keys
-- Narrow views over id, seq and fingerprint alone: which outcome counts is decided here, before anything wide is read.
-- A row of `current` says what the manifest row's own fingerprint was. Under the seq of an outcome it makes that
-- outcome count for this fingerprint too (a reprocess with changed settings); with a seq of its own it is a marker.
-- The current fingerprint of an id is what its newest record says; newest is the highest seq, never a time.
create or replace view keys.now as
select id, arg_max(fingerprint, age) as fingerprint
from (
    select id, fingerprint, seq * 2 as age from parts.results
    union all
    select id, fingerprint, seq * 2 from parts.failures
    union all
    select id, fingerprint, seq * 2 + 1 from parts.current
)
group by id;

-- One row per answered id: the newest answer to the current fingerprint, else the newest answer, which is stale.
create or replace view keys.results as
select a.id, coalesce(max(a.seq) filter (fits), max(a.seq)) as seq, max(a.seq) as newest, not bool_or(fits) as stale
from (
    select a.id, a.seq, a.fingerprint = now.fingerprint or coalesce(m.fingerprint = now.fingerprint, false) as fits
    from (select id, seq, fingerprint from parts.results) as a
    join keys.now as now on now.id = a.id
    left join (select seq, fingerprint from parts.current) as m on m.seq = a.seq
) as a
group by a.id;

-- One row per open failure. A failure is open as long as no kept answer is one to the current fingerprint, and it is
-- the newest failure for that fingerprint, or, where there is none, the newest outcome of its id.
create or replace view keys.failures as
select f.id, coalesce(max(f.seq) filter (fits), max(f.seq)) as seq
from (
    select f.id, f.seq, f.fingerprint = now.fingerprint or coalesce(m.fingerprint = now.fingerprint, false) as fits
    from (select id, seq, fingerprint from parts.failures) as f
    join keys.now as now on now.id = f.id
    left join (select seq, fingerprint from parts.current) as m on m.seq = f.seq
) as f
left join keys.results as r on r.id = f.id
where r.id is null or (r.stale and (f.fits or f.seq > r.newest))
group by f.id;

-- name: views
create or replace view versions as
select *{versions} from parts.results;

create or replace view results as
select r.* replace ({results})
from parts.results as r
join (select seq, stale from keys.results) as w on w.seq = r.seq;

create or replace view failures as
select f.*
from parts.failures as f
semi join keys.failures as w on w.seq = f.seq;

create or replace view attempts as
select * from parts.attempts;

create or replace view runs as
select * from parts.runs;

-- Attempts carry no provider: their run does. Days are UTC.
create or replace view spend as
select cast(make_timestamp(epoch_us(a.started_at)) as date) as day, r.provider, r.model, a.currency,
    count(*) as attempts, sum(a.input_tokens)::bigint as input_tokens, sum(a.output_tokens)::bigint as output_tokens,
    sum(a.cost) as cost, count(*) filter (a.cost is null) as unknown_cost_attempts
from parts.attempts as a
left join (select run_id, any_value(provider) as provider, any_value(model) as model from parts.runs group by run_id) as r
    on r.run_id = a.run_id
group by all
order by all;

-- name: vector
-- A vector of another dimension than the newest answers' is NULL: a column has one type.
case when len(embedding) = {dimension} then embedding::float[{dimension}] end as embedding
