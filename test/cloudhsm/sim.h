/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulator of AWS CloudHSM's PKCS #11 library (Client SDK 5): a module in
 * front of SoftHSM that adds what CloudHSM's documentation, and those who use
 * it, say of it.  Keys and signatures are real; the cluster is not.
 *
 *   sim_rules.c    the table of rules and switches, and their parser
 *   sim_cluster.c  HSMs, round trips, rates, losses, handles
 *   sim_slot.c     slots (one for each token behind, a cluster each), login
 *   sim_attr.c     which attributes there are, templates, check values
 *   sim_object.c   finding, reading, making
 *   sim_sign.c     mechanisms, signing, what else takes a key
 *   sim.c          the function list, and what every call begins with
 *
 * The environment variable HSMSIGN_CLOUDHSM_SIM sets the switches:
 *
 *   HSMSIGN_CLOUDHSM_SIM='strict,hsms=3,latency=5ms,busy=CKR_OPERATION_ACTIVE'
 *
 * "strict", which comes first, is the strict value of each.  The program
 * cloudhsm_rules prints all of them: what each does, whether that is documented
 * [D], observed [O], inferred [I] or assumed [A], and the test that shows it.
 * Tokens are made by other means; their PIN has to be "user:password".
 *
 * What a cluster shares among processes (rates, wrong PINs, losses) is here
 * each process's own.  ECDSA that hashes by itself is missing, since SoftHSM
 * has none.
 */
#ifndef HSMSIGN_CLOUDHSM_SIM_H
#define HSMSIGN_CLOUDHSM_SIM_H

#include <limits.h>
#include "../front/front.h"

#pragma GCC visibility push(hidden)

#define SIM_VARIABLE "HSMSIGN_CLOUDHSM_SIM"

/* The switches; sim_rules.c says what they do.  Flags are 0 or 1. */
struct sim_config {
    CK_RV read_only, notify, pin_without_user, wrong_pin, locked, not_listed,
        set_attribute, single_part, unlisted_mechanism, private_false, rsa_size,
        busy, session_count, certificate_off, certificate_full,
        certificate_size, fork;
    unsigned long pin_tries, max_sessions, hsms, certificate_limit,
        certificate_reads, certificate_writes;
    unsigned long visible_before_login, availability_check, throttle, hsm2m,
        certificates, certificate_visible, random_handles, fork_hang,
        lose_login, lose_handles, validate_key;
    unsigned long latency_us, login_us, sync_us, lose_at_us, replace_us;
    unsigned long lose_every;
    unsigned long first_slot, token_flags, eddsa, ml_dsa;
    char module[PATH_MAX], control[PATH_MAX];
};
extern struct sim_config sim_config; /* written by sim_configure() alone */

enum sim_kind { SIM_ALWAYS, SIM_RV, SIM_NUMBER, SIM_TIME, SIM_FLAG, SIM_PATH };

/* A rule, and (except SIM_ALWAYS) the switch that bends it. */
struct sim_rule {
    enum sim_kind kind;
    const char *name, *normal, *strict;
    size_t offset;     /* in struct sim_config */
    const char *known; /* "D", "O", "I", "A", or several */
    const char *says;
    const char *test; /* that shows it; NULL: shown by all that set it */
};
const struct sim_rule *sim_rules(size_t *n);

/* Set all switches by text, as from the environment; dies on what is wrong. */
void sim_configure(const char *text);

/* The module behind. */
extern CK_FUNCTION_LIST *sim_behind;
/* Load it, as sim_configure() said. */
void sim_load(void);
/* What C_GetFunctionList gives; for tests that are linked with the simulator.
 */
extern CK_FUNCTION_LIST sim_functions;

/* ---- sim_cluster.c ---- */

/* Begin anew, by sim_configure(). */
void sim_cluster_reset(void);
/* C_Initialize: all handles of before are stale, and lose-at counts from now.
 */
void sim_cluster_start(void);
/* n round trips: sleep; CKR_FUNCTION_FAILED when an HSM went in the midst. */
CK_RV sim_trip(unsigned long n);
/* One signature more in this second: CKR_OK or what "busy" says. */
CK_RV sim_sign_rate(bool rsa);
/* One read or write of a certificate more: whether the rate allows it. */
bool sim_certificate_rate(bool write);
/* A key was made just now: until "sync" it is on one HSM alone. */
void sim_key_is_fresh(CK_OBJECT_HANDLE behind);
/* Whether a key is on too few HSMs to be used. */
bool sim_key_is_unavailable(CK_OBJECT_HANDLE behind);
/* Handles as the application sees them; false: stale, or never given. */
CK_OBJECT_HANDLE sim_handle(CK_OBJECT_HANDLE behind);
bool sim_handle_behind(CK_OBJECT_HANDLE handle, CK_OBJECT_HANDLE *behind);
unsigned long sim_random(void);

/* ---- sim_slot.c ---- */

CK_RV sim_slots_start(void);
void sim_slots_forget(void);
/* An HSM took the logins with it. */
void sim_slots_lose_login(void);
bool sim_logged_in(CK_SLOT_ID slot);
CK_RV sim_slot_behind(CK_SLOT_ID slot, CK_SLOT_ID *behind);
CK_RV sim_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count);
CK_RV sim_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info);
CK_RV sim_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application,
                        CK_NOTIFY notify, CK_SESSION_HANDLE *session);
CK_RV sim_C_CloseSession(CK_SESSION_HANDLE session);
CK_RV sim_C_CloseAllSessions(CK_SLOT_ID slot);
CK_RV sim_C_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO *info);
CK_RV sim_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin,
                  CK_ULONG pinlen);
CK_RV sim_C_Logout(CK_SESSION_HANDLE session);

/* ---- sim_attr.c ---- */

/* The columns of the table of attributes. */
enum sim_object_kind {
    SIM_RSA_PRIVATE,
    SIM_RSA_PUBLIC,
    SIM_EC_PRIVATE,
    SIM_EC_PUBLIC,
    SIM_SECRET,
    SIM_CERTIFICATE,
    SIM_KINDS /* no kind that CloudHSM has */
};

struct sim_object {
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE behind;
    enum sim_object_kind kind;
    bool token;
};
/* What an object behind is; CKR_OBJECT_HANDLE_INVALID if there is none. */
CK_RV sim_object_look(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE behind,
                      struct sim_object *object);
enum sim_object_kind sim_kind(CK_OBJECT_CLASS class, CK_KEY_TYPE type);
/* For front_get_attributes(); arg is the struct sim_object. */
bool sim_answer(CK_ATTRIBUTE_TYPE type, struct front_answer *answer,
                const void *arg);
/* The three bytes that a key's halves share. */
void sim_check_value(const struct sim_object *object, CK_BYTE value[3]);
/* Whether an object of this kind may be made so. */
CK_RV sim_template_check(enum sim_object_kind kind, const CK_ATTRIBUTE *templ,
                         CK_ULONG count);
/* Whether any kind of object has that attribute. */
bool sim_attribute_is_known(CK_ATTRIBUTE_TYPE type);
const CK_ATTRIBUTE *sim_template_get(const CK_ATTRIBUTE *templ, CK_ULONG count,
                                     CK_ATTRIBUTE_TYPE type);
/* The same, as a number or a CK_BBOOL; other if it is not there. */
CK_ULONG sim_template_number(const CK_ATTRIBUTE *templ, CK_ULONG count,
                             CK_ATTRIBUTE_TYPE type, CK_ULONG other);

/* ---- sim_object.c ---- */

CK_RV sim_C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                            CK_ULONG count);
CK_RV sim_C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects,
                        CK_ULONG max, CK_ULONG *count);
CK_RV sim_C_FindObjectsFinal(CK_SESSION_HANDLE session);
CK_RV sim_C_GetAttributeValue(CK_SESSION_HANDLE session,
                              CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *templ,
                              CK_ULONG count);
/* Put what this file makes of the other functions in their places. */
void sim_object_functions(CK_FUNCTION_LIST *list);

/* ---- sim_sign.c ---- */

CK_RV sim_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list,
                             CK_ULONG *count);
CK_RV sim_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
                             CK_MECHANISM_INFO *info);
CK_RV sim_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                     CK_OBJECT_HANDLE key);
CK_RV sim_C_Sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len,
                 CK_BYTE *sig, CK_ULONG *siglen);
/* The mechanism as the module behind knows it. */
CK_RV sim_mechanism(const CK_MECHANISM *mechanism, CK_MECHANISM *behind);
void sim_sign_functions(CK_FUNCTION_LIST *list);

#pragma GCC visibility pop

#endif
