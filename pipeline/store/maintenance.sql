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
