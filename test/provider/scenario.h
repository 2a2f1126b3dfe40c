/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program does with a key, as steps that are judged one by one: load,
 * sign three times, load again, fork and sign, unload.  Tests of faults repeat
 * it once for each thing that can fail.
 *
 * A step that fails is tried once more: what has failed once must not have
 * broken anything.  The runs are made by processes of their own, twenty by each
 * (libcrypto 3.0 does not bear many contexts), with an alarm, so that a crash
 * is seen as one, and so is a hang; what they found out is in memory that is
 * shared with the test.  Every signature is verified by "default", in a context
 * without hsmsign.
 */
#ifndef HSMSIGN_TEST_PROVIDER_SCENARIO_H
#define HSMSIGN_TEST_PROVIDER_SCENARIO_H

#include "fake_fixture.h"

enum scenario_step {
    STEP_LOAD,
    STEP_SIGN,
    STEP_SIGN_AGAIN,
    STEP_SIGN_THIRD,
    STEP_LOAD_AGAIN,
    STEP_SIGN_SECOND_KEY,
    STEP_CHILD_SIGN,
    STEP_CHILD_UNLOAD,
    STEP_SIGN_AFTER_FORK,
    STEP_UNLOAD,
    SCENARIO_STEPS
};

enum scenario_result {
    RESULT_NONE, /* the step was not reached */
    RESULT_OK,
    RESULT_ERROR,  /* with something in the error queue */
    RESULT_SILENT, /* with nothing in it */
    RESULT_WRONG   /* a signature that does not verify */
};

enum { SCENARIO_MAX_CALLS = 256, SCENARIO_BATCH = 20 };

/* A run, as the process that made it saw it. */
struct scenario_run {
    /* The test's: what is to be done. */
    const char *key;  /* of fake_fixture() */
    bool forks;       /* or the steps of the child are left out */
    unsigned failing; /* for the hooks: what fails, from 0 */
    size_t fault;     /* for the hooks: and how */
    /* What came of it. */
    bool done;
    enum scenario_step step;
    enum scenario_result first[SCENARIO_STEPS], again[SCENARIO_STEPS];
    char error[SCENARIO_STEPS][300]; /* of first */
    /* In the order they were made, by both processes: they take turns. */
    unsigned n_calls;
    struct {
        const char *function;
        enum scenario_step step;
    } calls[SCENARIO_MAX_CALLS];
    unsigned n_allocations; /* the hooks' */
    unsigned before_fork;   /* of these */
    unsigned long violations;
    bool leaked; /* says LeakSanitizer */
    bool kept;   /* say the hooks, of memory */
    int status;  /* 0; 256 + signal; other: a process ended badly */
};

/* What the test does to a run. */
struct scenario_hooks {
    /* A new context with the provider; NULL: none, and no step is made. */
    OSSL_LIB_CTX *(*context)(struct scenario_run *run, struct fake *fake);
    /* Before each call to the token, which is the n-th, from 0; or NULL. */
    void (*call)(struct scenario_run *run, struct fake *fake,
                 const char *function, unsigned n);
    /* Whether what is tested runs, or the test and the token; or NULL. */
    void (*armed)(struct scenario_run *run, bool on);
    /* Before a run, and when a process of it has freed all; or NULL. */
    void (*begin)(struct scenario_run *run);
    void (*end)(struct scenario_run *run);
};

extern const char *const scenario_step_names[SCENARIO_STEPS];

/* Room for SCENARIO_BATCH runs, shared with the processes that make them. */
struct scenario_run *scenario_runs(void);
/* Make the first n of them. */
void scenario_make(size_t n, const struct scenario_hooks *hooks);

/*
 * Of many cases every n-th is tried: n, times what HSMSIGN_TEST_EVERY says,
 * times ten with a sanitizer, which makes all slow.
 */
unsigned scenario_every(unsigned n);

/* Why a run is bad whatever has failed in it; NULL: it is not. */
const char *scenario_bad(const struct scenario_run *run);
/* How many steps did not go well at once, and how many not the second time. */
unsigned scenario_failures(const struct scenario_run *run, bool again);

/*
 * How many of the first n runs are bad: why says what of it, or NULL, and name
 * which one it is, for a line that is printed of each.
 */
unsigned scenario_judge(size_t n,
                        const char *(*why)(const struct scenario_run *run),
                        void (*name)(const struct scenario_run *run, char *buf,
                                     size_t size));

#endif
