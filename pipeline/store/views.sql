-- name: shown
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
), told as (
    select o.id, o.seq, o.answer, coalesce(m.fingerprint, o.fingerprint) as asked, now.fingerprint = 'gone' as gone,
        o.fingerprint = now.fingerprint or coalesce(m.fingerprint = now.fingerprint, false) as fits
    from (select *, true as answer from a union all select *, false from f) as o
    join now on now.id = o.id
    left join m on m.seq = o.seq
)
select id, coalesce(max(seq) filter (not answer and fits), max(seq)) as seq,
    coalesce(arg_max(asked, seq) filter (not answer and fits), arg_max(asked, seq)) as asked, bool_or(gone) as gone
from told
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

-- name: plan_keys
-- Ids and fingerprints as 128-bit numbers take a third of the memory of their text.
create or replace macro keyed(text) as md5_number(text);

-- name: plan_load
-- `given` is what the first pass over the manifest found, one row per manifest row.
create or replace view given as select * from read_parquet('{spool}', hive_partitioning = false);
create table hashed (ordinal bigint, fingerprint varchar);

-- name: plan_outcomes
-- One row per id and fingerprint that has an outcome; an outcome counts for its own fingerprint and for the one that
-- a row of `current` with its seq names. `age` is as in keys.now.
create table outcome as
with told as (
    select id, seq, fingerprint, true as answer, null as fault from parts.results
    union all
    select id, seq, fingerprint, false, fault from parts.failures
), counted as (
    select keyed(id) as k, seq, keyed(fingerprint) as f, answer, fault, seq * 2 as age from told
    union all
    select keyed(m.id), m.seq, keyed(m.fingerprint), t.answer, t.fault, m.seq * 2 + 1
    from told as t join parts.current as m on m.seq = t.seq and m.fingerprint <> t.fingerprint
)
select k, f, bool_or(answer) as answered, arg_max(fault, seq) filter (not answer) as fault, max(age) as age
from counted group by k, f;

-- name: plan_dismissed
create table dismissed as
select keyed(id) as k, keyed(fingerprint) as f
from parts.dismissed group by id, fingerprint having not arg_max(undone, seq);

-- name: plan_stamps
create table stamped as
select keyed(id) as k, keyed(stamp) as s, arg_max(fingerprint, seq) as fingerprint
from parts.current where stamp is not null group by all;

-- name: plan_rows
-- A row without a fingerprint takes that of its stamp. `repeat`: a row with a derived id that came before.
create table item as
select g.ordinal, keyed(g.id) as k, g.given, g.stamp is not null as stampable, s.fingerprint is not null as stamped,
    coalesce(keyed(g.fingerprint), keyed(s.fingerprint)) as f
from given as g
left join stamped as s on {by_stamp} and s.k = keyed(g.id) and s.s = keyed(g.stamp);

create table repeated as
select unnest(list(ordinal order by given desc, ordinal)[2:]) as ordinal
from item where k in (select k from item group by k having count(*) > 1) group by k;

-- name: plan_duplicates
-- Given ids that stand more than once, with the first two places.
select any_value(g.id) as id, min_by(g."where", g.ordinal, 2) as places
from given as g
where keyed(g.id) in (select k from item where given group by k having count(*) > 1) and g.given
group by keyed(g.id) order by min(g.ordinal) limit {limit};

-- name: plan_states
-- A row whose stamp is not known, of an id with an outcome, must be read (`unread`); a new one is read when it is sent.
create or replace table state as
select i.ordinal, case
    when r.ordinal is not null then {repeat}
    when o.answered then {done}
    when d.k is not null then {dismissed}
    when o.fault in ('throttled', 'transient') then {retry}
    when o.k is not null then {failed}
    when i.k not in (select k from outcome) then {new}
    when coalesce(i.f, keyed(h.fingerprint)) is null then {unread}
    else {changed} end::utinyint as state, i.k
from item as i
left join hashed as h on h.ordinal = i.ordinal
left join repeated as r on r.ordinal = i.ordinal
left join outcome as o on o.k = i.k and o.f = coalesce(keyed(h.fingerprint), i.f)
left join dismissed as d on d.k = i.k and d.f = coalesce(keyed(h.fingerprint), i.f);

-- name: plan_counts
select state, count(*) as rows_ from state group by state;

-- name: plan_equal
-- Rows to send beyond the first of each question, and first ones that were answered before. A stamp stands for the
-- question of a row whose files are not read.
with sent as (
    select coalesce(i.f, keyed(h.fingerprint), keyed(g.stamp)) as f, g.lasting
    from state as s
    join item as i on i.ordinal = s.ordinal
    join given as g on g.ordinal = s.ordinal
    left join hashed as h on h.ordinal = s.ordinal
    where s.state in ({new}, {changed}, {retry})
), answers as (
    select distinct keyed(fingerprint) as f from parts.results
)
select count(f) - count(distinct f)
    + count(distinct f) filter (where lasting and f in (select f from answers))
from sent;

-- name: plan_rebuy
select count(*) from state where state = {changed} and k in (select k from outcome where answered);

-- name: plan_keep
update state set state = {done} where state = {changed} and k in (select k from outcome where answered);

-- name: plan_vanished
select count(distinct k) from outcome where k not in (select k from item);

-- name: plan_marks
-- Rows whose id has an outcome, and whose current fingerprint is not what the newest record of the id says, or whose
-- stamp is not yet known to stand for it. Where answers are kept as they are (`kept`), only failed rows that have come
-- back. `gone`: ids that are no longer in the manifest, while no answer has ended their failure.
create or replace temp table now as
select k, arg_max(f, age) as f
from (
    select k, f, age from outcome
    union all
    select keyed(id), keyed(fingerprint), seq * 2 + 1 from parts.current
)
group by k;

create or replace temp table mark as
select i.ordinal
from item as i
join state as s on s.ordinal = i.ordinal and s.state not in ({new}, {unread}, {repeat})
left join hashed as h on h.ordinal = i.ordinal
join now on now.k = i.k
where case when {kept} then now.f = keyed('gone') and s.state in ({failed}, {retry}, {dismissed})
    else now.f <> coalesce(keyed(h.fingerprint), i.f) or (i.stampable and not i.stamped) end;

create or replace temp table gone as
select now.k
from now
left join outcome as o on o.k = now.k and o.f = now.f
where now.f <> keyed('gone') and not coalesce(o.answered, false)
    and now.k in (select k from outcome where fault is not null) and now.k not in (select k from item);

-- name: plan_marked
select g.id, coalesce(h.fingerprint, g.fingerprint, s.fingerprint) as fingerprint, g.stamp
from given as g
join mark as m on m.ordinal = g.ordinal
left join hashed as h on h.ordinal = g.ordinal
left join stamped as s on s.k = keyed(g.id) and s.s = keyed(g.stamp)
union all
select any_value(id), 'gone', null from parts.failures where keyed(id) in (select k from gone) group by keyed(id);

-- name: superseded_results
-- What `--drop-superseded` drops. An id's newest record always stays, whatever it is, since it says what the current
-- fingerprint is; so does whatever a view shows.
select seq from parts.results where seq not in (select seq from keys.results);

-- name: superseded_failures
with newest as (
    select id, max(seq) as seq
    from (
        select id, seq from parts.failures
        union all
        select id, seq from parts.results where id in (select id from parts.failures)
        union all
        select id, seq from parts.current where id in (select id from parts.failures)
    )
    group by id
)
select seq from parts.failures
where seq not in (select seq from keys.failures) and seq not in (select seq from keys.dismissed)
    and seq not in (select seq from newest);

-- name: superseded_turns
-- Turns of conversations that have their answer: it holds them all.
select t.seq from parts.turns as t semi join parts.results as r on r.id = t.id and r.fingerprint = t.fingerprint;

-- name: unfinished_turns
-- Turns of conversations without an answer yet, in order.
select t.* from parts.turns as t
anti join parts.results as r on r.id = t.id and r.fingerprint = t.fingerprint
order by t.seq;

-- name: superseded_current
-- Markers that a newer record of their id overrules, and those of outcomes that go.
select seq from parts.current
where seq not in (select max(seq) from parts.current group by id)
    and seq not in (select seq from keys.results) and seq not in (select seq from keys.failures)
    and seq not in (select seq from keys.dismissed);

-- name: failed
select f.id, f.seq, coalesce(m.fingerprint, f.fingerprint) as answers, m.stamp, f.fault, f.code, f."row"
from (select * from failures where {where}) as f
left join (select seq, fingerprint, stamp from parts.current) as m on m.seq = f.seq
order by f.seq;

-- name: answered
-- What was ever answered of some ids: by an answer's own fingerprint, or that of the row which it stands for.
select id, fingerprint from parts.results where id in (select unnest($ids))
union
select r.id, m.fingerprint from parts.current as m join parts.results as r on r.seq = m.seq
where r.id in (select unnest($ids));

-- name: held_back
-- The two columns behind the row's own are read by their place: a row column may have any name.
select f.*, m.fingerprint, m.stamp
from (select * from failures where {where}) as f
left join (select seq, fingerprint, stamp from parts.current) as m on m.seq = f.seq
where f.fault = 'suspect' and json_exists(f.extra, '$.answer')
order by f.seq;

-- name: to_dismiss
select f.id, coalesce(m.fingerprint, f.fingerprint) as fingerprint
from (select * from {view} where {where}) as f
left join (select seq, fingerprint from parts.current) as m on m.seq = f.seq
order by f.seq;

-- name: dismissal_groups
select fault, code, count(*) as rows_ from {view} where {where} group by fault, code order by rows_ desc, fault, code;
