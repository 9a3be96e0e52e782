-- name: dataset_view
-- The parts of one dataset that count, as a view in the schema `parts`.
-- The folder is listed twice, and the left side of a join is always bound first: so a merged part that appears between
-- the two listings is not in the first and stays out, while the parts it replaces are still there (they are deleted
-- an hour later at the earliest). Order the other way round and a reader could see neither.
-- `{part}`, the name of a row's part, is a name of ours that this dataset does not have: no row column can have it.
-- A folder `a=b` above the output is no column of the rows.
create or replace view parts.{dataset} as
with listing as (
    select parse_filename(file) as part, substr(part, 1, 12) as lowest, substr(part, 14, 12) as highest,
        coalesce(try_cast(regexp_extract(part, '\.([0-9]+)\.parquet$', 1) as integer), 0) as generation
    from glob('{pattern}')
)
select {columns}
from (
    select one.part, coalesce(bool_or(other.part is not null), false) as replaced
    from listing as one
    left join (select * from listing where generation > 0) as other
        on other.generation > one.generation and other.lowest <= one.lowest and other.highest >= one.highest
    group by one.part
) as known
right join read_parquet('{pattern}', union_by_name = true, filename = '{part}', hive_partitioning = false) as rows_
    on known.part = parse_filename(rows_.{part})
where case when known.part is null then not regexp_matches(parse_filename(rows_.{part}), '\.[0-9]+\.parquet$')
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
select a.id, coalesce(max(a.seq) filter (fits), max(a.seq)) as seq, not bool_or(fits) as stale
from (
    select a.id, a.seq, a.fingerprint = now.fingerprint or coalesce(m.fingerprint = now.fingerprint, false) as fits
    from (select id, seq, fingerprint from parts.results) as a
    join keys.now as now on now.id = a.id
    left join (select seq, fingerprint from parts.current) as m on m.seq = a.seq
) as a
group by a.id;

-- One row per failure that no answer has ended. It is so as long as no kept answer is one to the current fingerprint,
-- and it is the newest failure for that fingerprint, or, where there is none, the newest outcome of its id. `asked`: the
-- fingerprint that it stands for. `gone`: its row has left the manifest. Only ids that ever failed are looked at.
create or replace view keys.unanswered as
with f as (
    select id, seq, fingerprint from parts.failures
), a as (
    select id, seq, fingerprint from parts.results where id in (select id from f)
), m as (
    select id, seq, fingerprint from parts.current where id in (select id from f)
), now as (
    select id, arg_max(fingerprint, age) as fingerprint
    from (
        select id, fingerprint, seq * 2 as age from a
        union all
        select id, fingerprint, seq * 2 from f
        union all
        select id, fingerprint, seq * 2 + 1 from m
    )
    group by id
), outcomes as (
    select o.id, o.seq, o.answer, coalesce(m.fingerprint, o.fingerprint) as asked, now.fingerprint = 'gone' as gone,
        o.fingerprint = now.fingerprint or coalesce(m.fingerprint = now.fingerprint, false) as fits
    from (select *, true as answer from a union all select *, false from f) as o
    join now on now.id = o.id
    left join m on m.seq = o.seq
)
select id, coalesce(max(seq) filter (not answer and fits), max(seq)) as seq,
    coalesce(arg_max(asked, seq) filter (not answer and fits), arg_max(asked, seq)) as asked, bool_or(gone) as gone
from outcomes
group by id
having not coalesce(bool_or(answer and fits), false)
    and (bool_or(not answer and fits) or max(seq) filter (not answer) > coalesce(max(seq) filter (answer), 0));

-- Dismissals in force: the newest word on the question of an id.
create or replace view keys.dismissals as
select id, fingerprint, max(seq) as seq
from parts.dismissed
group by id, fingerprint
having not arg_max(undone, seq);

-- One row per dismissed failure: what would be open without the dismissal.
create or replace view keys.dismissed as
select u.id, u.seq, d.seq as dismissal
from keys.unanswered as u
join keys.dismissals as d on d.id = u.id and d.fingerprint = u.asked;

-- One row per open failure.
create or replace view keys.failures as
select u.id, u.seq
from keys.unanswered as u
left join keys.dismissals as d on d.id = u.id and d.fingerprint = u.asked
where not u.gone and d.id is null;

-- name: settled
-- Which outcomes count, as it is now, in 9 bytes a row: what follows need not find it out again.
create or replace table keys.settled_results as select seq, stale from keys.results;
create or replace table keys.settled_failures as select seq from keys.failures;
create or replace view keys.results as select * from keys.settled_results;
create or replace view keys.failures as select * from keys.settled_failures;

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

create or replace view dismissed as
select d.dismissed_at, d.dismissed_reason, f.*
from keys.dismissed as w
join parts.failures as f on f.seq = w.seq
join parts.dismissed as d on d.seq = w.dismissal;

create or replace view attempts as
select * from parts.attempts;

create or replace view turns as
select * from parts.turns;

-- `done` was called `skipped` before.
create or replace view runs as
select * replace (coalesce(done, skipped) as done) from parts.runs;

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
-- A vector of another dimension than the newest answers' is NULL: a column has one type. (DuckDB before 2.0 has no
-- `case` over vectors of one length.)
try_cast(embedding as float[{dimension}]) as embedding
