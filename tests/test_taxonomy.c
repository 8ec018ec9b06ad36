/* Tests of guard/taxonomy.h and guard/job.h: small look-ups and calls that every stage makes. */
#include "guard/job.h"
#include "guard/taxonomy.h"
#include "tests/support.h"
#include <string.h>

static const guard_taxonomy three = {{{"fraud", "crime", "", "illicit", "S2", 2},
                                      {"malware", "crime", "", "illicit", "S14, S2b", 3},
                                      {"self_harm", "self", "", "self-harm,self-harm/intent", "S11", 3}},
                                     3};

static size_t index_of(const char *name)
{
    return guard_taxonomy_index(&three, name, strlen(name));
}

Test(taxonomy, a_name_is_ours_or_maps_to_exactly_one_of_ours)
{
    cr_expect_eq(index_of("malware"), 1u);
    cr_expect_eq(index_of("self-harm/intent"), 2u);
    cr_expect_eq(index_of("S2b"), 1u);
    cr_expect_eq(index_of("S2"), 0u);
    cr_expect_eq(index_of("illicit"), (size_t)GUARD_MAX_CATEGORY, "two of ours share it");
    cr_expect_eq(index_of("weather"), (size_t)GUARD_MAX_CATEGORY);
    cr_expect_eq(index_of(""), (size_t)GUARD_MAX_CATEGORY);
}

Test(taxonomy, a_mask_counts_what_it_does_not_know)
{
    static const char list[] = "fraud, self-harm,weather,illicit";
    size_t unknown = 0;

    cr_expect_eq(guard_taxonomy_mask(&three, list, sizeof list - 1, &unknown), 5u);
    cr_expect_eq(unknown, 2u);
    cr_expect_eq(guard_taxonomy_mask(&three, NULL, 0, NULL), 0u);
}

static bool stop_at_ten(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    *(uint64_t *)ctx = done;
    return done < 10 && total == 20 && strcmp(unit, "rows") == 0;
}

static nn_status refuse(void *ctx, uint64_t step, const char *name, double value, nn_err *err)
{
    (void)ctx;
    return nn_fail(err, NN_FILE, "%s %d %d", name, (int)step, (int)value);
}

Test(job, calls_go_up_when_somebody_listens)
{
    uint64_t seen = 0;
    nn_err err = {NN_OK, ""};
    guard_job job = {.ctx = &seen, .progress = stop_at_ten, .metric = refuse}, quiet = {0};

    cr_expect(guard_job_go_on(&job, 9, 20, "rows") && seen == 9);
    cr_expect_not(guard_job_go_on(&job, 10, 20, "rows"));
    cr_expect(guard_job_go_on(&quiet, 1, 2, "rows") && guard_job_go_on(NULL, 1, 2, "rows"));
    expect_fails(guard_job_metric(&job, 3, "loss", 2.0, &err), NN_FILE, &err, "loss 3 2");
    cr_expect(guard_job_metric(&quiet, 3, "loss", 2.0, NULL) == NN_OK);
}

Test(job, streams_differ_by_stage_purpose_and_row)
{
    guard_job job = {.seed = 1, .stream = "04.train"};
    nn_rng want = nn_rng_at(1, "04.train/batch", 7), rng = guard_job_rng(&job, "batch", 7);

    cr_expect_eq(rng.key, want.key);
    rng = guard_job_rng(&job, "drop", 7);
    cr_expect_neq(rng.key, want.key);
}
