#!/usr/bin/env bash
# What changed in the traces of a Countdown run: tools/demo_facts.sh RUN prints, for each evaluation, shares
# of the completions in per cent and means over them, from the run's store. An attempt ends in ";" (not the
# target) or in "!" (a claimed hit).
set -euo pipefail
sqlite3 -readonly -header -column "$1/run.sqlite" "
SELECT step, name AS split, count(*) AS n,
       round(100.0 * avg(correct), 1) AS 'right',
       round(avg(n_tokens), 1) AS tokens,
       round(avg(2 * length(completion) - length(replace(completion, ';', ''))
                   - length(replace(completion, '!', ''))), 2) AS attempts,
       round(100.0 * avg(completion LIKE '% !</think>%'), 1) AS 'claims a hit',
       round(100.0 * avg(completion LIKE '% !</think>%' AND NOT correct), 1) AS 'claims wrongly',
       round(100.0 * avg(completion LIKE '% ;</think>%'), 1) AS 'gives up',
       round(100.0 * avg(finish = 'length'), 1) AS 'cut',
       round(100.0 * avg(verdict = 'no_answer'), 1) AS 'no answer'
FROM evaluation_episode GROUP BY step, name ORDER BY name, step;"
