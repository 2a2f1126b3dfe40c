/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call that a program's life makes to the token fails once, with every
 * reason, and what must come of it is a table; every call fails and so do all
 * that follow; every function is missing.
 *
 * What the tests print says how many cases there are, and were tried.
 */
#include "scenario.h"
#include <stdio.h>
#include <string.h>

enum kind { FATAL, PIN, LIBRARY, LIMIT, BUSY, SESSION, LOGIN, HANDLE, DEVICE };

#define FAULT(rv, kind)                                                        \
    {                                                                          \
        rv, #rv, kind                                                          \
    }

static const struct fault {
    CK_RV rv;
    const char *name;
    enum kind kind;
} faults[] = {
    FAULT(CKR_SESSION_HANDLE_INVALID, SESSION),
    FAULT(CKR_SESSION_CLOSED, SESSION),
    FAULT(CKR_USER_NOT_LOGGED_IN, LOGIN),
    FAULT(CKR_KEY_HANDLE_INVALID, HANDLE),
    FAULT(CKR_OBJECT_HANDLE_INVALID, HANDLE),
    FAULT(CKR_DEVICE_ERROR, DEVICE),
    FAULT(CKR_DEVICE_REMOVED, DEVICE),
    FAULT(CKR_TOKEN_NOT_PRESENT, DEVICE),
    FAULT(CKR_TOKEN_NOT_RECOGNIZED, DEVICE),
    FAULT(CKR_SLOT_ID_INVALID, DEVICE),
    FAULT(CKR_FUNCTION_FAILED, BUSY),
    FAULT(CKR_OPERATION_ACTIVE, BUSY),
    FAULT(CKR_OPERATION_NOT_INITIALIZED, BUSY),
    FAULT(CKR_HOST_MEMORY, BUSY),
    FAULT(CKR_DEVICE_MEMORY, BUSY),
    FAULT(CKR_SESSION_COUNT, LIMIT),
    FAULT(CKR_CRYPTOKI_NOT_INITIALIZED, LIBRARY),
    FAULT(CKR_PIN_INCORRECT, PIN),
    FAULT(CKR_PIN_INVALID, PIN),
    FAULT(CKR_PIN_LEN_RANGE, PIN),
    FAULT(CKR_PIN_EXPIRED, PIN),
    FAULT(CKR_PIN_LOCKED, PIN),
    FAULT(CKR_GENERAL_ERROR, FATAL),
    FAULT(CKR_ARGUMENTS_BAD, FATAL),
    FAULT(CKR_CANCEL, FATAL),
    FAULT(CKR_FUNCTION_CANCELED, FATAL),
    FAULT(CKR_FUNCTION_NOT_SUPPORTED, FATAL),
    FAULT(CKR_FUNCTION_REJECTED, FATAL),
    FAULT(CKR_CANT_LOCK, FATAL),
    FAULT(CKR_ATTRIBUTE_SENSITIVE, FATAL),
    FAULT(CKR_ATTRIBUTE_TYPE_INVALID, FATAL),
    FAULT(CKR_ATTRIBUTE_VALUE_INVALID, FATAL),
    FAULT(CKR_DATA_INVALID, FATAL),
    FAULT(CKR_DATA_LEN_RANGE, FATAL),
    FAULT(CKR_KEY_SIZE_RANGE, FATAL),
    FAULT(CKR_KEY_TYPE_INCONSISTENT, FATAL),
    FAULT(CKR_KEY_FUNCTION_NOT_PERMITTED, FATAL),
    FAULT(CKR_MECHANISM_INVALID, FATAL),
    FAULT(CKR_MECHANISM_PARAM_INVALID, FATAL),
    FAULT(CKR_BUFFER_TOO_SMALL, FATAL),
    FAULT(CKR_TOKEN_WRITE_PROTECTED, FATAL),
    FAULT(CKR_USER_ALREADY_LOGGED_IN, FATAL),
    FAULT(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, FATAL),
    FAULT(CKR_USER_PIN_NOT_INITIALIZED, FATAL),
    FAULT(CKR_USER_TYPE_INVALID, FATAL),
    FAULT(CKR_CRYPTOKI_ALREADY_INITIALIZED, FATAL),
    FAULT(CKR_VENDOR_DEFINED, FATAL),
};

#define ALL_WELL COUNT(faults)

/* For how many calls, 0 for ever. */
static unsigned long fault_length;

static void fail_call(struct scenario_run *run, struct fake *fake,
                      const char *function, unsigned n)
{
    if (run->fault == ALL_WELL)
        return;
    if (n == run->failing || (n > run->failing && fault_length == 0)) {
        fake_fail_none(fake);
        fake_fail(fake, function, faults[run->fault].rv, 1, 1);
    }
}

/* Patient enough for any machine: a fault that lasts one call ends at once. */
static OSSL_LIB_CTX *patient(struct scenario_run *run, struct fake *fake)
{
    (void)run;
    (void)fake;
    return fixture_module(fixture_required("HSMSIGN_FAKE"),
                          FIXTURE_PIN "hsmsign-deadline = 60000\n");
}

static OSSL_LIB_CTX *impatient(struct scenario_run *run, struct fake *fake)
{
    (void)run;
    (void)fake;
    return fake_context("");
}

/* What the faults of one call come to. */
enum expected {
    WELL, /* every step is done, as if nothing had been */
    SAID, /* the step fails, with an error, and is done the next time */
    STAYS /* it fails the next time, too */
};

#define MASK(kind) (1U << (kind))
/* What the token has lost is had again, in the same step. */
#define LOST (MASK(SESSION) | MASK(LOGIN) | MASK(HANDLE))
#define TIME (MASK(BUSY) | MASK(DEVICE))
#define ANY  (~0U)

/* Which of the calls of a function. */
enum place {
    ANYWHERE,
    IN_CHILD, /* which has a key already */
    REPEATED  /* after another of the same function */
};

/* The first row that fits; function NULL: any; rv CKR_OK: any of the kinds. */
static const struct policy {
    const char *function;
    unsigned kinds;
    CK_RV rv;
    enum place place;
    enum expected expected;
} policies[] = {
    /* What ends something: nobody is helped by an error there. */
    { "C_CloseSession", ANY, CKR_OK, ANYWHERE, WELL },
    { "C_Finalize", ANY, CKR_OK, ANYWHERE, WELL },
    /* Before there is a module there is nothing to be patient with. */
    { "C_GetFunctionList", ANY, CKR_OK, ANYWHERE, SAID },
    /* A lie: nothing works until it is true. */
    { "C_Initialize", ANY, CKR_CRYPTOKI_ALREADY_INITIALIZED, ANYWHERE, STAYS },
    { "C_Initialize", TIME, CKR_OK, IN_CHILD, WELL },
    { "C_Initialize", ANY, CKR_OK, ANYWHERE, SAID },
    /* A wrong PIN is sent once. */
    { "C_Login", MASK(PIN), CKR_OK, ANYWHERE, STAYS },
    { "C_Login", ANY, CKR_USER_ALREADY_LOGGED_IN, ANYWHERE, WELL },
    { "C_Login", TIME | MASK(SESSION), CKR_OK, ANYWHERE, WELL },
    { "C_Login", LOST, CKR_OK, IN_CHILD, WELL },
    { "C_Login", ANY, CKR_OK, ANYWHERE, SAID },
    /* A slot without a token is no fault, and that with the token is gone. */
    { "C_GetTokenInfo", ANY, CKR_TOKEN_NOT_PRESENT, IN_CHILD, WELL },
    { "C_GetTokenInfo", ANY, CKR_TOKEN_NOT_RECOGNIZED, IN_CHILD, WELL },
    { "C_GetTokenInfo", ANY, CKR_SLOT_ID_INVALID, IN_CHILD, WELL },
    { "C_GetTokenInfo", ANY, CKR_GENERAL_ERROR, IN_CHILD, WELL },
    { "C_GetTokenInfo", ANY, CKR_TOKEN_NOT_PRESENT, ANYWHERE, SAID },
    { "C_GetTokenInfo", ANY, CKR_TOKEN_NOT_RECOGNIZED, ANYWHERE, SAID },
    { "C_GetTokenInfo", ANY, CKR_SLOT_ID_INVALID, ANYWHERE, SAID },
    { "C_GetTokenInfo", LOST, CKR_OK, IN_CHILD, WELL },
    /* These have no session, and no handle of an object. */
    { "C_GetTokenInfo", LOST, CKR_OK, ANYWHERE, SAID },
    { "C_GetSlotList", LOST, CKR_OK, ANYWHERE, SAID },
    { "C_OpenSession", LOST, CKR_OK, ANYWHERE, SAID },
    /* The list has grown meanwhile: asked for again. */
    { "C_GetSlotList", ANY, CKR_BUFFER_TOO_SMALL, REPEATED, WELL },
    /* Read one by one, or into more room. */
    { "C_GetAttributeValue", ANY, CKR_ATTRIBUTE_SENSITIVE, ANYWHERE, WELL },
    { "C_GetAttributeValue", ANY, CKR_ATTRIBUTE_TYPE_INVALID, ANYWHERE, WELL },
    { "C_GetAttributeValue", ANY, CKR_BUFFER_TOO_SMALL, ANYWHERE, WELL },
    /* The policy. */
    { NULL, LOST | TIME, CKR_OK, ANYWHERE, WELL },
    { NULL, ANY, CKR_OK, ANYWHERE, SAID },
};

static bool fits(const struct policy *p, const char *function,
                 const struct fault *f, enum place place)
{
    return (p->function == NULL || strcmp(p->function, function) == 0) &&
           (p->kinds & MASK(f->kind)) != 0 &&
           (p->rv == CKR_OK || p->rv == f->rv) &&
           (p->place == ANYWHERE || p->place == place);
}

/* How the run without faults was: a fault is in what it did. */
static struct scenario_run plain;

static enum expected expected_of(unsigned call, const struct fault *f)
{
    const char *function = plain.calls[call].function;
    enum place place = ANYWHERE;
    const struct policy *p = policies;

    if (plain.calls[call].step == STEP_CHILD_SIGN)
        place = IN_CHILD;
    else if (call > 0 && strcmp(plain.calls[call - 1].function, function) == 0)
        place = REPEATED;
    while (!fits(p, function, f, place))
        p++;
    return p->expected;
}

static bool logs_in_later(const struct scenario_run *r)
{
    for (unsigned i = r->failing + 1; i < r->n_calls; i++) {
        if (strcmp(r->calls[i].function, "C_Login") == 0)
            return true;
    }
    return false;
}

/* Why a run with a fault of one call is not as the table says; NULL: it is. */
static const char *not_as_expected(const struct scenario_run *r)
{
    const struct fault *f = &faults[r->fault];
    const char *function = plain.calls[r->failing].function;
    enum scenario_step step = plain.calls[r->failing].step;
    enum expected expected = expected_of(r->failing, f);
    const char *bad = scenario_bad(r);

    if (bad != NULL)
        return bad;
    if (f->kind == PIN && strcmp(function, "C_Login") == 0 && logs_in_later(r))
        return "tries a refused PIN again";
    if (expected == WELL)
        return scenario_failures(r, false) == 0 ? NULL : "is not repaired";
    if (r->first[step] != RESULT_ERROR)
        return "is not said";
    if (expected == STAYS)
        return r->again[step] == RESULT_ERROR ? NULL : "is said only once";
    return scenario_failures(r, false) == 1 && r->again[step] == RESULT_OK
               ? NULL
               : "has broken something";
}

static void name(const struct scenario_run *r, char *buf, size_t size)
{
    (void)snprintf(buf, size, "call %u (%s, to %s), %s", r->failing,
                   plain.calls[r->failing].function,
                   scenario_step_names[plain.calls[r->failing].step],
                   faults[r->fault].name);
}

/* Every call with those faults that are wanted. */
static void exhaust(const char *key, const struct scenario_hooks *hooks,
                    bool (*wanted)(const struct fault *),
                    const char *(*why)(const struct scenario_run *))
{
    struct scenario_run *runs = scenario_runs();
    unsigned all = 0, tried = 0, bad = 0, every = scenario_every(1);
    size_t n = 0, last;

    runs[0] =
        (struct scenario_run){ .key = key, .forks = true, .fault = ALL_WELL };
    scenario_make(1, hooks);
    assert_null(scenario_bad(&runs[0]));
    assert_int_equal(scenario_failures(&runs[0], false), 0);
    plain = runs[0];
    last = plain.n_calls * COUNT(faults) - 1;
    for (size_t i = 0; i <= last; i++) {
        unsigned call = (unsigned)(i / COUNT(faults));
        size_t fault = i % COUNT(faults);
        enum scenario_step step = plain.calls[call].step;

        if (wanted(&faults[fault]) && all++ % every == 0)
            runs[n++] =
                (struct scenario_run){ .key = key,
                                       .failing = call,
                                       .fault = fault,
                                       /* Or the number is not reached. */
                                       .forks = step >= STEP_CHILD_SIGN };
        if (n == SCENARIO_BATCH || i == last) {
            scenario_make(n, hooks);
            bad += scenario_judge(n, why, name);
            tried += (unsigned)n;
            n = 0;
        }
    }
    (void)printf("# %s: %u calls, %u of %u cases tried, %u bad\n", key,
                 plain.n_calls, tried, all, bad);
    (void)fflush(stdout);
    assert_int_equal(bad, 0);
}

static bool is_any(const struct fault *f)
{
    (void)f;
    return true;
}

static const struct scenario_hooks once = { patient, fail_call, NULL, NULL,
                                            NULL };

static void test_every_call_fails_once_with_an_rsa_key(void **state)
{
    (void)state;
    fault_length = 1;
    exhaust("rsa2048", &once, is_any, not_as_expected);
}

static void test_every_call_fails_once_with_an_ec_key(void **state)
{
    (void)state;
    fault_length = 1;
    exhaust("p256", &once, is_any, not_as_expected);
}

/* One of each kind but LIMIT: sessions are waited for, for ten seconds. */
static bool is_first_of_kind(const struct fault *f)
{
    return f->kind != LIMIT && (f == faults || f[-1].kind != f->kind);
}

static const struct scenario_hooks for_ever = { impatient, fail_call, NULL,
                                                NULL, NULL };

static void test_every_call_and_all_that_follow_fail(void **state)
{
    (void)state;
    fault_length = 0;
    exhaust("p256", &for_ever, is_first_of_kind, scenario_bad);
}

/* The entries of a function list that this project could call. */
static const struct entry {
    const char *name;
    size_t offset;
} entries[] = {
#define MODELLED(name)                   { #name, offsetof(CK_FUNCTION_LIST, name) },
#define OTHER(name, first, params, args) MODELLED(name)
#include "../cryptoki_functions.h"
};

static OSSL_LIB_CTX *without_function(struct scenario_run *run,
                                      struct fake *fake)
{
    memset((unsigned char *)&fake->list + entries[run->fault].offset, 0,
           sizeof(CK_C_Initialize));
    return fake_context("");
}

static void test_no_function_of_a_module_need_be_there(void **state)
{
    static const struct scenario_hooks hooks = { without_function, NULL, NULL,
                                                 NULL, NULL };
    struct scenario_run *runs = scenario_runs();
    unsigned bad = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(entries); i++) {
        runs[0] =
            (struct scenario_run){ .key = "p256", .forks = true, .fault = i };
        scenario_make(1, &hooks);
        if (scenario_bad(&runs[0]) != NULL) {
            bad++;
            (void)printf("# without %s: %s\n", entries[i].name,
                         scenario_bad(&runs[0]));
        }
    }
    (void)printf("# %zu functions, %u bad\n", COUNT(entries), bad);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_fails_once_with_an_rsa_key),
        cmocka_unit_test(test_every_call_fails_once_with_an_ec_key),
        cmocka_unit_test(test_every_call_and_all_that_follow_fail),
        cmocka_unit_test(test_no_function_of_a_module_need_be_there),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/faults", tests, NULL, NULL);
}
