/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign doctor --report: a table of what is observed, inferred or assumed of
 * AWS CloudHSM and not documented, by the names that the simulator in
 * test/cloudhsm/ has for it (cloudhsm_rules prints them), and a probe for each
 * that can be tried on a cluster in production.
 *
 * A probe has a session of its own.  It reads, or makes keys of that session,
 * which go with it; what it asks is refused, or harmless.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hsmsign_doctor.h"
#include "pkcs11/calls.h"

#ifndef CKM_RSA_X9_31_KEY_PAIR_GEN
#define CKM_RSA_X9_31_KEY_PAIR_GEN 0xaUL
#endif

#define READS 5 /* the shortest is the latency */

/* A child that has not answered by then hangs. */
#define CHILD_SECONDS 2

struct probe {
    struct doctor *d;
    const struct p11_slot *slot;
    CK_FUNCTION_LIST *fl;
    CK_OBJECT_HANDLE key; /* the user's: to be read only */
    const struct doctor_seen *before;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE pair[2]; /* public, private: of a session, EC */
    CK_RV child;              /* what a forked child was answered */
    bool child_answered;
};

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static void observe(struct doctor_answer *a, CK_RV rv)
{
    const struct p11_rv_info *info = p11_rv_info(rv);

    if (info->rv == rv)
        (void)snprintf(a->observed, sizeof(a->observed), "%s", info->name);
    else
        (void)snprintf(a->observed, sizeof(a->observed), "0x%lx", rv);
}

static void observe_flag(struct doctor_answer *a, bool on)
{
    (void)snprintf(a->observed, sizeof(a->observed), on ? "on" : "off");
}

static void observe_number(struct doctor_answer *a, unsigned long n)
{
    (void)snprintf(a->observed, sizeof(a->observed), "0x%lx", n);
}

static void observe_time(struct doctor_answer *a, double ms)
{
    (void)snprintf(a->observed, sizeof(a->observed), "%.3f ms", ms);
}

static CK_RV open_session(const struct p11_slot *slot,
                          CK_SESSION_HANDLE *session)
{
    return P11_CALL(slot->module->fl, C_OpenSession, slot->id,
                    CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session);
}

static bool is_there(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                     CK_OBJECT_CLASS class)
{
    CK_ATTRIBUTE templ = { CKA_CLASS, &class, sizeof(class) };
    CK_OBJECT_HANDLE object;
    CK_ULONG n = 0;

    return p11_objects_find(fl, session, &templ, 1, &object, 1, &n, "", NULL) ==
               CKR_OK &&
           n > 0;
}

void doctor_probe_before_login(const struct p11_slot *slot,
                               struct doctor_seen *seen)
{
    CK_FUNCTION_LIST *fl = slot->module->fl;
    CK_SESSION_HANDLE session;

    if (open_session(slot, &session) != CKR_OK)
        return;
    seen->public_key = is_there(fl, session, CKO_PUBLIC_KEY);
    seen->certificate = is_there(fl, session, CKO_CERTIFICATE);
    (void)P11_CALL(fl, C_CloseSession, session);
}

/* ---- slots, sessions, what is seen ---- */

static void first_slot(struct probe *p, struct doctor_answer *a)
{
    CK_SLOT_ID first = p->slot->id;

    for (const struct p11_slot *s = p->slot->module->slots; s != NULL;
         s = s->next)
        first = s->id < first ? s->id : first;
    observe_number(a, first);
}

static void token_flags(struct probe *p, struct doctor_answer *a)
{
    observe_number(a, p->slot->token.flags);
}

static CK_RV notified(CK_SESSION_HANDLE session, CK_NOTIFICATION event,
                      void *application)
{
    (void)session;
    (void)event;
    (void)application;
    return CKR_OK;
}

static void try_session(struct probe *p, struct doctor_answer *a,
                        CK_FLAGS flags, CK_NOTIFY notify)
{
    CK_SESSION_HANDLE session;
    CK_RV rv =
        P11_CALL(p->fl, C_OpenSession, p->slot->id, CKF_SERIAL_SESSION | flags,
                 notify != NULL ? p->d : NULL, notify, &session);

    observe(a, rv);
    if (rv == CKR_OK)
        (void)P11_CALL(p->fl, C_CloseSession, session);
}

static void read_only(struct probe *p, struct doctor_answer *a)
{
    try_session(p, a, 0, NULL);
}

static void notify(struct probe *p, struct doctor_answer *a)
{
    try_session(p, a, CKF_RW_SESSION, notified);
}

static void public_visible(struct probe *p, struct doctor_answer *a)
{
    a->reason = "there is no public key to be seen";
    if (p->before->public_key || is_there(p->fl, p->session, CKO_PUBLIC_KEY))
        observe_flag(a, p->before->public_key);
}

static void certificate_visible(struct probe *p, struct doctor_answer *a)
{
    a->reason = "there is no certificate to be seen";
    if (p->before->certificate || is_there(p->fl, p->session, CKO_CERTIFICATE))
        observe_flag(a, p->before->certificate);
}

/* ---- times ---- */

static void login_time(struct probe *p, struct doctor_answer *a)
{
    a->reason = "the token wants no login";
    if (p->d->facts.login_ms >= 0)
        observe_time(a, p->d->facts.login_ms);
}

static void latency(struct probe *p, struct doctor_answer *a)
{
    CK_OBJECT_CLASS class = 0;
    CK_ATTRIBUTE templ = { CKA_CLASS, &class, sizeof(class) };
    double best = -1;

    a->reason = "C_GetAttributeValue failed";
    for (int i = 0; i < READS; i++) {
        double begin = doctor_clock(), took;

        if (P11_CALL(p->fl, C_GetAttributeValue, p->session, p->key, &templ,
                     1) != CKR_OK)
            return;
        took = doctor_clock() - begin;
        best = best < 0 || took < best ? took : best;
    }
    observe_time(a, best);
}

/* ---- functions and mechanisms ---- */

static void get_interface(struct probe *p, struct doctor_answer *a)
{
    const CK_VERSION *v = &p->d->facts.info.cryptokiVersion;
    bool has = dlsym(p->slot->module->dl, "C_GetInterface") != NULL;

    (void)snprintf(a->observed, sizeof(a->observed), "%s, %d.%d",
                   has ? "present" : "absent", v->major, v->minor);
}

static void not_listed(struct probe *p, struct doctor_answer *a)
{
    CK_ULONG size = 0;

    observe(a, P11_CALL(p->fl, C_GetObjectSize, p->session, p->key, &size));
}

static void set_attribute(struct probe *p, struct doctor_answer *a)
{
    char label[] = "hsmsign doctor";
    CK_ATTRIBUTE templ = { CKA_LABEL, label, sizeof(label) - 1 };

    if (p->pair[1] != CK_INVALID_HANDLE)
        observe(a, P11_CALL(p->fl, C_SetAttributeValue, p->session, p->pair[1],
                            &templ, 1));
}

static void single_part(struct probe *p, struct doctor_answer *a)
{
    CK_MECHANISM ecdsa = { CKM_ECDSA, NULL, 0 };
    CK_BYTE digest[32] = { 0 };

    if (p->pair[1] == CK_INVALID_HANDLE)
        return;
    a->reason = "C_SignInit failed with a key of its own";
    if (P11_CALL(p->fl, C_SignInit, p->session, &ecdsa, p->pair[1]) == CKR_OK)
        observe(a, P11_CALL(p->fl, C_SignUpdate, p->session, digest,
                            sizeof(digest)));
}

static void unlisted_mechanism(struct probe *p, struct doctor_answer *a)
{
    CK_MECHANISM eddsa = { CKM_EDDSA, NULL, 0 };

    if (p->pair[1] != CK_INVALID_HANDLE)
        observe(a, P11_CALL(p->fl, C_SignInit, p->session, &eddsa, p->pair[1]));
}

/* Which of them is which, the SDK's own header says. */
static void vendor_numbers(struct probe *p, struct doctor_answer *a)
{
    const struct doctor_facts *facts = &p->d->facts;
    size_t len = 0;

    (void)snprintf(a->observed, sizeof(a->observed), "none of the vendor's");
    for (size_t i = 0; i < facts->n_mechanisms; i++) {
        if ((facts->mechanisms[i] & CKM_VENDOR_DEFINED) != 0 &&
            len < sizeof(a->observed))
            len += (size_t)snprintf(a->observed + len,
                                    sizeof(a->observed) - len, "%s0x%lx",
                                    len > 0 ? " " : "", facts->mechanisms[i]);
    }
}

/* ---- keys of a session ---- */

static CK_RV generate(struct probe *p, CK_MECHANISM_TYPE type,
                      CK_ATTRIBUTE *public, CK_ULONG n,
                      CK_OBJECT_HANDLE pair[2])
{
    CK_MECHANISM mechanism = { type, NULL, 0 };
    CK_ATTRIBUTE private[] = { { CKA_TOKEN, &no, sizeof(no) },
                               { CKA_SIGN, &yes, sizeof(yes) },
                               { CKA_SENSITIVE, &yes, sizeof(yes) },
                               { CKA_EXTRACTABLE, &no, sizeof(no) } };
    CK_RV rv = P11_CALL(p->fl, C_GenerateKeyPair, p->session, &mechanism,
                        public, n, private, 4, &pair[0], &pair[1]);

    if (rv != CKR_OK)
        pair[0] = pair[1] = CK_INVALID_HANDLE;
    return rv;
}

static CK_RV generate_ec(struct probe *p, CK_BBOOL *is_private,
                         CK_OBJECT_HANDLE pair[2])
{
    static CK_BYTE p256[] = { 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 };
    CK_ATTRIBUTE public[] = { { CKA_TOKEN, &no, sizeof(no) },
                              { CKA_VERIFY, &yes, sizeof(yes) },
                              { CKA_EC_PARAMS, p256, sizeof(p256) },
                              { CKA_PRIVATE, is_private, sizeof(yes) } };

    return generate(p, CKM_EC_KEY_PAIR_GEN, public, is_private != NULL ? 4 : 3,
                    pair);
}

static void destroy(struct probe *p, const CK_OBJECT_HANDLE pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] != CK_INVALID_HANDLE)
            (void)P11_CALL(p->fl, C_DestroyObject, p->session, pair[i]);
    }
}

static void private_false(struct probe *p, struct doctor_answer *a)
{
    CK_OBJECT_HANDLE pair[2];

    observe(a, generate_ec(p, &no, pair));
    destroy(p, pair);
}

/* CloudHSM calls its RSA keys X9.31's, and may know the other name too. */
static void rsa_size(struct probe *p, struct doctor_answer *a)
{
    static const CK_MECHANISM_TYPE types[] = { CKM_RSA_PKCS_KEY_PAIR_GEN,
                                               CKM_RSA_X9_31_KEY_PAIR_GEN };
    CK_ULONG bits = 1024;
    CK_BYTE exponent[] = { 1, 0, 1 };
    CK_ATTRIBUTE public[] = { { CKA_TOKEN, &no, sizeof(no) },
                              { CKA_VERIFY, &yes, sizeof(yes) },
                              { CKA_MODULUS_BITS, &bits, sizeof(bits) },
                              { CKA_PUBLIC_EXPONENT, exponent,
                                sizeof(exponent) } };
    CK_OBJECT_HANDLE pair[2];
    CK_RV rv = CKR_MECHANISM_INVALID;

    for (size_t i = 0; i < 2 && rv == CKR_MECHANISM_INVALID; i++)
        rv = generate(p, types[i], public, 4, pair);
    observe(a, rv);
    destroy(p, pair);
}

/* ---- processes ---- */

/* The last call of all here: a library that is confused by it is closed. */
static void ask_in_child(struct probe *p)
{
    int ends[2];
    pid_t child = -1;

    if (pipe(ends) != 0)
        return;
    child = fork();
    if (child == 0) {
        CK_ULONG n = 0;
        CK_RV rv;

        (void)signal(SIGALRM, SIG_DFL);
        (void)alarm(CHILD_SECONDS);
        rv = p->fl->C_GetSlotList(CK_FALSE, NULL, &n);
        _exit(write(ends[1], &rv, sizeof(rv)) != (ssize_t)sizeof(rv));
    }
    (void)close(ends[1]);
    p->child_answered =
        child > 0 &&
        read(ends[0], &p->child, sizeof(p->child)) == (ssize_t)sizeof(p->child);
    (void)close(ends[0]);
    if (child > 0)
        (void)waitpid(child, NULL, 0);
}

static void fork_answer(struct probe *p, struct doctor_answer *a)
{
    ask_in_child(p);
    a->reason = "a child's call hangs";
    if (p->child_answered)
        observe(a, p->child);
}

static void fork_hang(struct probe *p, struct doctor_answer *a)
{
    observe_flag(a, !p->child_answered);
}

/* ---- the table ---- */

#define PIN_TRY "a wrong PIN is never tried"
#define CLUSTER "it takes an HSM that is lost, or a cluster of one"
#define WRITES  "it would store a certificate"

static const struct row {
    const char *name, *assumed;
    void (*probe)(struct probe *p, struct doctor_answer *a);
    const char *reason; /* that there is no probe, or that it gave no answer */
    bool measures;
} rows[] = {
    { "first-slot", "0x2000000000000001", first_slot, "", false },
    { "token-flags", "0x404", token_flags, "", false },
    { "read-only", "CKR_FUNCTION_FAILED", read_only, "", false },
    { "notify", "CKR_ARGUMENTS_BAD", notify, "", false },
    { "session-count", "CKR_SESSION_COUNT", NULL,
      "it takes more than a thousand sessions", false },
    { "pin-without-user", "CKR_ARGUMENTS_BAD", NULL, PIN_TRY, false },
    { "wrong-pin", "CKR_PIN_INCORRECT", NULL, PIN_TRY, false },
    { "locked", "CKR_PIN_LOCKED", NULL, PIN_TRY, false },
    { "visible-before-login", "off", public_visible, "", false },
    { "login", "5ms", login_time, "", true },
    { "there_is_no_get_interface", "absent, 2.40", get_interface, "", false },
    { "not-listed", "CKR_FUNCTION_NOT_SUPPORTED", not_listed, "", false },
    { "set-attribute", "CKR_FUNCTION_NOT_SUPPORTED", set_attribute,
      "no key of a session could be made", false },
    { "single-part", "CKR_MECHANISM_INVALID", single_part,
      "no key of a session could be made", false },
    { "unlisted-mechanism", "CKR_MECHANISM_INVALID", unlisted_mechanism,
      "no key of a session could be made", false },
    { "eddsa", "0", vendor_numbers, "", true },
    { "ml-dsa", "0", vendor_numbers, "", true },
    { "private-false", "CKR_ATTRIBUTE_VALUE_INVALID", private_false, "",
      false },
    { "rsa-size", "CKR_KEY_SIZE_RANGE", rsa_size, "", false },
    { "random-handles", "on", NULL, "it takes a second process that logs in",
      false },
    { "latency", "200us", latency, "", true },
    { "availability-check", "on", NULL, CLUSTER, false },
    { "sync", "0us", NULL, "it takes a new key of the token", true },
    { "replace", "0us", NULL, CLUSTER, true },
    { "lose-login", "off", NULL, CLUSTER, false },
    { "lose-handles", "off", NULL, CLUSTER, false },
    { "certificate-off", "CKR_ATTRIBUTE_VALUE_INVALID", NULL, WRITES, false },
    { "certificate-full", "CKR_FUNCTION_FAILED", NULL, WRITES, false },
    { "certificate-size", "CKR_ATTRIBUTE_VALUE_INVALID", NULL, WRITES, false },
    { "certificate-visible", "on", certificate_visible, "", false },
    { "fork", "CKR_CRYPTOKI_NOT_INITIALIZED", fork_answer, "", false },
    { "fork-hang", "off", fork_hang, "", false },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= DOCTOR_ROWS_MAX, "DOCTOR_ROWS_MAX is too small");

void doctor_probe_init(struct doctor *d)
{
    d->facts.login_ms = -1;
    d->facts.n_answers = ROWS;
    for (size_t i = 0; i < ROWS; i++)
        d->facts.answers[i] = (struct doctor_answer){
            .name = rows[i].name,
            .assumed = rows[i].assumed,
            .reason = rows[i].probe == NULL
                          ? rows[i].reason
                          : "the examination did not come so far",
        };
}

static void answer(struct probe *p, const struct row *row,
                   struct doctor_answer *a)
{
    a->reason = row->reason;
    row->probe(p, a);
    if (a->observed[0] == '\0')
        return;
    if (row->measures)
        a->verdict = DOCTOR_MEASURED;
    else
        a->verdict = strcmp(a->observed, row->assumed) == 0 ? DOCTOR_CONFIRMED
                                                            : DOCTOR_REFUTED;
}

void doctor_probe(struct doctor *d, const struct p11_slot *slot,
                  CK_OBJECT_HANDLE key, const struct doctor_seen *before)
{
    struct probe p = { .d = d,
                       .slot = slot,
                       .fl = slot->module->fl,
                       .key = key,
                       .before = before };
    CK_SESSION_HANDLE owner; /* of the pair */

    if (open_session(slot, &owner) != CKR_OK)
        return;
    p.session = owner;
    (void)generate_ec(&p, NULL, p.pair);
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].probe == NULL || open_session(slot, &p.session) != CKR_OK)
            continue;
        answer(&p, &rows[i], &d->facts.answers[i]);
        /* With what may be under way in it. */
        (void)P11_CALL(p.fl, C_CloseSession, p.session);
    }
    p.session = owner;
    destroy(&p, p.pair);
    (void)P11_CALL(p.fl, C_CloseSession, owner);
}
