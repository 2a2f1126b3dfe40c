/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds: nobody waits that long, however slow the machine. */
#define HANG 120

const char *const scenario_step_names[SCENARIO_STEPS] = {
    "load",
    "sign",
    "sign again",
    "sign a third time",
    "load again",
    "sign with the second key",
    "sign in a child",
    "unload there",
    "sign after the fork",
    "unload"
};

/* LeakSanitizer's, where it is linked in. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static struct scenario_run *runs;   /* SCENARIO_BATCH, shared */
static struct scenario_run *shared; /* the one that is made */
static const struct scenario_hooks *hooks;
static fake_sign_fn *token_sign;
static bool armed;

struct program {
    struct fake *fake;
    OSSL_LIB_CTX *ctx;
    EVP_PKEY *keys[2], *public;
};

typedef enum scenario_result work_fn(struct program *program, int which);

static bool arm(bool on)
{
    bool before = armed;

    armed = on;
    if (hooks->armed != NULL)
        hooks->armed(shared, on);
    return before;
}

static void before_call(struct fake *fake, const char *function, void *arg)
{
    bool was = arm(false);
    unsigned n = shared->n_calls;

    (void)arg;
    if (n < SCENARIO_MAX_CALLS) {
        shared->calls[n].function = function;
        shared->calls[n].step = shared->step;
    }
    shared->n_calls++;
    if (hooks->call != NULL)
        hooks->call(shared, fake, function, n);
    (void)arm(was);
}

static CK_RV sign_unarmed(struct fake *fake, const struct fake_object *key,
                          const CK_MECHANISM *mechanism,
                          const unsigned char *data, size_t len,
                          unsigned char *sig, size_t *siglen)
{
    bool was = arm(false);
    CK_RV rv = token_sign(fake, key, mechanism, data, len, sig, siglen);

    (void)arm(was);
    return rv;
}

static enum scenario_result load(struct program *program, int which)
{
    char uri[256];

    (void)snprintf(uri, sizeof(uri), FAKE_URI "%s", shared->key);
    (void)arm(true);
    program->keys[which] = fixture_load(program->ctx, uri);
    (void)arm(false);
    return program->keys[which] != NULL ? RESULT_OK : RESULT_ERROR;
}

static enum scenario_result sign(struct program *program, int which)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len;

    (void)arm(true);
    len = fixture_sign(program->ctx, program->keys[which], "SHA256", sig);
    (void)arm(false);
    if (len == 0)
        return RESULT_ERROR;
    return fixture_verify(program->public, "SHA256", sig, len) ? RESULT_OK
                                                               : RESULT_WRONG;
}

static enum scenario_result unload(struct program *program, int which)
{
    (void)which;
    (void)arm(true);
    EVP_PKEY_free(program->keys[0]);
    EVP_PKEY_free(program->keys[1]);
    OSSL_LIB_CTX_free(program->ctx);
    (void)arm(false);
    return RESULT_OK;
}

static void take_error(char *text, size_t size)
{
    struct fixture_errors errors;

    fixture_take_errors("hsmsign", &errors);
    (void)snprintf(text, size, "%.*s", (int)size - 1, errors.all);
}

/* Once, and once more if it fails. */
static bool step(struct program *program, enum scenario_step which,
                 work_fn *work, int key)
{
    enum scenario_result *results[] = { &shared->first[which],
                                        &shared->again[which] };
    char ignored[sizeof(shared->error[0])];

    shared->step = which;
    for (int i = 0; i < 2; i++) {
        enum scenario_result result;

        ERR_clear_error();
        result = work(program, key);
        if (result == RESULT_ERROR && ERR_peek_error() == 0)
            result = RESULT_SILENT;
        take_error(i == 0 ? shared->error[which] : ignored, sizeof(ignored));
        *results[i] = result;
        if (result != RESULT_ERROR && result != RESULT_SILENT)
            return result == RESULT_OK;
    }
    return false;
}

static void look_for_leaks(void)
{
    if (__lsan_do_recoverable_leak_check != NULL &&
        __lsan_do_recoverable_leak_check() != 0)
        shared->leaked = true;
}

static void free_public(struct program *program)
{
    EVP_PKEY_free(program->public);
    program->public = NULL;
    shared->violations += fake_violations(program->fake);
    if (hooks->end != NULL)
        hooks->end(shared);
}

static bool fork_and_sign(struct program *program)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void)alarm(HANG);
        (void)step(program, STEP_CHILD_SIGN, sign, 0);
        (void)step(program, STEP_CHILD_UNLOAD, unload, 0);
        free_public(program);
        look_for_leaks();
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void use_keys(struct program *program)
{
    if (!step(program, STEP_LOAD, load, 0))
        return;
    (void)step(program, STEP_SIGN, sign, 0);
    (void)step(program, STEP_SIGN_AGAIN, sign, 0);
    (void)step(program, STEP_SIGN_THIRD, sign, 0);
    if (step(program, STEP_LOAD_AGAIN, load, 1))
        (void)step(program, STEP_SIGN_SECOND_KEY, sign, 1);
    shared->before_fork = shared->n_allocations;
    if (shared->forks && !fork_and_sign(program))
        _exit(3);
    (void)step(program, STEP_SIGN_AFTER_FORK, sign, 0);
}

static void run(struct fake *fake)
{
    struct program program = { .fake = fake };

    if (hooks->begin != NULL)
        hooks->begin(shared);
    program.public = fixture_public(shared->key);
    fake->before = before_call;
    token_sign = fake->sign;
    fake->sign = sign_unarmed;
    program.ctx = hooks->context(shared, fake);
    if (program.ctx != NULL)
        use_keys(&program);
    (void)step(&program, STEP_UNLOAD, unload, 0);
    free_public(&program);
    shared->done = true;
}

unsigned scenario_every(unsigned n)
{
    const char *text = getenv("HSMSIGN_TEST_EVERY");
    unsigned long every = text != NULL ? strtoul(text, NULL, 10) : 0;

    n *= every > 0 ? (unsigned)every : 1;
    return __lsan_do_recoverable_leak_check != NULL ? 10 * n : n;
}

struct scenario_run *scenario_runs(void)
{
    if (runs == NULL) {
        runs = mmap(NULL, SCENARIO_BATCH * sizeof(*runs),
                    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(runs, MAP_FAILED);
        (void)fake_fixture();
    }
    return runs;
}

static void forget(struct scenario_run *r)
{
    *r = (struct scenario_run){ .key = r->key,
                                .forks = r->forks,
                                .failing = r->failing,
                                .fault = r->fault };
}

/* Those from first to end, or until the process dies; the next to be made. */
static size_t make_some(size_t first, size_t end)
{
    int status = 0;
    pid_t pid;

    for (size_t i = first; i < end; i++)
        forget(&runs[i]);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (size_t i = first; i < end; i++) {
            shared = &runs[i];
            (void)alarm(HANG);
            run(fake_fixture());
        }
        look_for_leaks();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    while (first < end && runs[first].done)
        first++;
    if (first == end)
        return end;
    runs[first].status =
        WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
    return first + 1;
}

void scenario_make(size_t n, const struct scenario_hooks *with)
{
    size_t i = 0;

    hooks = with;
    while (i < n)
        i = make_some(i, n);
    /* Whose it is: what was found is of all that its process made. */
    for (i = 0; i < n && !runs[i].leaked; i++)
        ;
    for (size_t j = 0; i < n && j < n; j++)
        (void)make_some(j, j + 1);
}

const char *scenario_bad(const struct scenario_run *r)
{
    if (r->status == 256 + SIGALRM)
        return "hangs";
    if (!r->done)
        return "crashes";
    if (r->leaked || r->kept)
        return "leaks";
    if (r->violations != 0)
        return "uses the token as nobody may";
    if (r->n_calls > SCENARIO_MAX_CALLS)
        return "makes calls without end";
    for (int i = 0; i < SCENARIO_STEPS; i++) {
        if (r->first[i] == RESULT_WRONG || r->again[i] == RESULT_WRONG)
            return "gives a wrong signature";
        if (r->first[i] == RESULT_SILENT || r->again[i] == RESULT_SILENT)
            return "fails with an empty error queue";
    }
    return NULL;
}

unsigned scenario_failures(const struct scenario_run *r, bool again)
{
    unsigned n = 0;

    for (int i = 0; i < SCENARIO_STEPS; i++) {
        if (!r->forks && (i == STEP_CHILD_SIGN || i == STEP_CHILD_UNLOAD))
            continue;
        n += r->first[i] != RESULT_OK && (!again || r->again[i] != RESULT_OK);
    }
    return n;
}

unsigned scenario_judge(size_t n,
                        const char *(*why)(const struct scenario_run *run),
                        void (*name)(const struct scenario_run *run, char *buf,
                                     size_t size))
{
    unsigned bad = 0;

    for (size_t i = 0; i < n; i++) {
        const struct scenario_run *r = &runs[i];
        const char *what = why(r);
        char which[160];
        int step = 0;

        if (what == NULL)
            continue;
        bad++;
        while (step < STEP_UNLOAD && r->first[step] <= RESULT_OK)
            step++;
        name(r, which, sizeof(which));
        (void)printf("# %s, %s: %s: %s (status %d): %s\n", r->key, which, what,
                     scenario_step_names[step], r->status, r->error[step]);
    }
    return bad;
}
