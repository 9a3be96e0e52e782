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
