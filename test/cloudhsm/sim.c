/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's function list, and the gate in front of every function: is
 * it one that AWS lists, is the library initialised in this process, is the
 * session open, and how many round trips does it take.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sim.h"

const char front_name[] = "cloudhsm simulator";

#define MODELLED(name)                   SIM_##name,
#define OTHER(name, first, params, args) SIM_##name,
enum function {
#include "../cryptoki_functions.h"
    FUNCTIONS
};

enum { LISTED = 1, SESSION = 2, TRIP = 4 };

/* Not in here: AWS does not list it. */
static const unsigned char gates[FUNCTIONS] = {
    [SIM_C_GetInfo] = LISTED,
    [SIM_C_GetSlotList] = LISTED,
    [SIM_C_GetSlotInfo] = LISTED,
    [SIM_C_GetTokenInfo] = LISTED,
    [SIM_C_GetMechanismList] = LISTED,
    [SIM_C_GetMechanismInfo] = LISTED,
    [SIM_C_OpenSession] = LISTED,
    [SIM_C_CloseSession] = LISTED | SESSION,
    [SIM_C_CloseAllSessions] = LISTED,
    [SIM_C_GetSessionInfo] = LISTED | SESSION,
    /* These count their round trips themselves. */
    [SIM_C_Login] = LISTED | SESSION,
    [SIM_C_Logout] = LISTED | SESSION,
    [SIM_C_GetAttributeValue] = LISTED | SESSION,
    [SIM_C_FindObjectsInit] = LISTED | SESSION,
    [SIM_C_FindObjects] = LISTED | SESSION,
    [SIM_C_FindObjectsFinal] = LISTED | SESSION,
    [SIM_C_SignInit] = LISTED | SESSION,
    [SIM_C_Sign] = LISTED | SESSION,
    [SIM_C_SignUpdate] = LISTED | SESSION,
    [SIM_C_SignFinal] = LISTED | SESSION,
    [SIM_C_CreateObject] = LISTED | SESSION | TRIP,
    [SIM_C_DestroyObject] = LISTED | SESSION | TRIP,
    [SIM_C_SetAttributeValue] = LISTED | SESSION | TRIP,
    [SIM_C_GenerateKey] = LISTED | SESSION | TRIP,
    [SIM_C_GenerateKeyPair] = LISTED | SESSION | TRIP,
    [SIM_C_GenerateRandom] = LISTED | SESSION | TRIP,
    [SIM_C_WrapKey] = LISTED | SESSION | TRIP,
    [SIM_C_UnwrapKey] = LISTED | SESSION | TRIP,
    [SIM_C_DeriveKey] = LISTED | SESSION | TRIP,
    [SIM_C_EncryptInit] = LISTED | SESSION,
    [SIM_C_Encrypt] = LISTED | SESSION | TRIP,
    [SIM_C_EncryptUpdate] = LISTED | SESSION | TRIP,
    [SIM_C_EncryptFinal] = LISTED | SESSION | TRIP,
    [SIM_C_DecryptInit] = LISTED | SESSION,
    [SIM_C_Decrypt] = LISTED | SESSION | TRIP,
    [SIM_C_DecryptUpdate] = LISTED | SESSION | TRIP,
    [SIM_C_DecryptFinal] = LISTED | SESSION | TRIP,
    [SIM_C_VerifyInit] = LISTED | SESSION,
    [SIM_C_Verify] = LISTED | SESSION | TRIP,
    [SIM_C_VerifyUpdate] = LISTED | SESSION,
    [SIM_C_VerifyFinal] = LISTED | SESSION | TRIP,
    /* Digests are made in the library. */
    [SIM_C_DigestInit] = LISTED | SESSION,
    [SIM_C_Digest] = LISTED | SESSION,
    [SIM_C_DigestUpdate] = LISTED | SESSION,
    [SIM_C_DigestFinal] = LISTED | SESSION,
};

CK_FUNCTION_LIST *sim_behind;
/* The module behind, with what the other files put in place of its own. */
static CK_FUNCTION_LIST inner;

static enum { NEVER, HERE, IN_PARENT } _Atomic initialised;

static void after_fork_in_child(void)
{
    if (initialised == HERE)
        initialised = IN_PARENT;
}

/* Before any call; argument is its first. */
static CK_RV enter(enum function function, CK_ULONG argument)
{
    if ((gates[function] & LISTED) == 0 && sim_config.not_listed != CKR_OK)
        return sim_config.not_listed;
    if (initialised == IN_PARENT) {
        while (sim_config.fork_hang)
            (void)pause();
        if (sim_config.fork != CKR_OK)
            return sim_config.fork;
    }
    if (initialised == NEVER)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if ((gates[function] & SESSION) != 0 && front_session(argument) == NULL)
        return CKR_SESSION_HANDLE_INVALID;
    return (gates[function] & TRIP) != 0 ? sim_trip(1) : CKR_OK;
}

#define GATE(name, first, params, args, go)                                    \
    static CK_RV gate_##name params                                            \
    {                                                                          \
        CK_RV rv = enter(SIM_##name, (CK_ULONG)(first));                       \
                                                                               \
        return rv == CKR_OK ? go args : rv;                                    \
    }

#define OTHER(name, first, params, args)                                       \
    GATE(name, first, params, args, inner.name)
#include "../cryptoki_functions.h"

GATE(C_GetSlotList, present,
     (CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count),
     (present, list, count), sim_C_GetSlotList)
GATE(C_GetTokenInfo, slot, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info),
     sim_C_GetTokenInfo)
GATE(C_GetMechanismList, slot,
     (CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count),
     (slot, list, count), sim_C_GetMechanismList)
GATE(C_GetMechanismInfo, slot,
     (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info),
     (slot, type, info), sim_C_GetMechanismInfo)
GATE(C_OpenSession, slot,
     (CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
      CK_SESSION_HANDLE *session),
     (slot, flags, application, notify, session), sim_C_OpenSession)
GATE(C_CloseSession, session, (CK_SESSION_HANDLE session), (session),
     sim_C_CloseSession)
GATE(C_CloseAllSessions, slot, (CK_SLOT_ID slot), (slot),
     sim_C_CloseAllSessions)
GATE(C_GetSessionInfo, session,
     (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), (session, info),
     sim_C_GetSessionInfo)
GATE(C_Login, session,
     (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin,
      CK_ULONG pinlen),
     (session, user, pin, pinlen), sim_C_Login)
GATE(C_Logout, session, (CK_SESSION_HANDLE session), (session), sim_C_Logout)
GATE(C_GetAttributeValue, session,
     (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
      CK_ULONG count),
     (session, object, templ, count), sim_C_GetAttributeValue)
GATE(C_FindObjectsInit, session,
     (CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ, CK_ULONG count),
     (session, templ, count), sim_C_FindObjectsInit)
GATE(C_FindObjects, session,
     (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max,
      CK_ULONG *count),
     (session, objects, max, count), sim_C_FindObjects)
GATE(C_FindObjectsFinal, session, (CK_SESSION_HANDLE session), (session),
     sim_C_FindObjectsFinal)
GATE(C_SignInit, session,
     (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key),
     (session, mechanism, key), sim_C_SignInit)
GATE(C_Sign, session,
     (CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *sig,
      CK_ULONG *siglen),
     (session, data, len, sig, siglen), sim_C_Sign)

static CK_RV gate_C_GetInfo(CK_INFO *info)
{
    CK_RV rv = enter(SIM_C_GetInfo, 0);

    if (rv == CKR_OK)
        rv = sim_behind->C_GetInfo(info);
    if (rv == CKR_OK)
        info->cryptokiVersion = (CK_VERSION){ 2, 40 };
    return rv;
}

static CK_RV gate_C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    CK_SLOT_ID behind = 0;
    CK_RV rv = enter(SIM_C_GetSlotInfo, slot);

    if (rv == CKR_OK)
        rv = sim_slot_behind(slot, &behind);
    return rv == CKR_OK ? sim_behind->C_GetSlotInfo(behind, info) : rv;
}

/*
 * A child begins anew with the cluster, and goes on with the module behind: to
 * load its tokens again while other processes log in is more than SoftHSM can.
 */
static CK_RV gate_C_Initialize(void *args)
{
    CK_RV rv = CKR_OK;

    if (initialised == HERE)
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    if (initialised == IN_PARENT) {
        sim_slots_lose_login();
    } else {
        rv = sim_behind->C_Initialize(args);
        if (rv == CKR_OK)
            rv = sim_slots_start();
    }
    if (rv == CKR_OK) {
        sim_cluster_start();
        initialised = HERE;
    }
    return rv;
}

static CK_RV gate_C_Finalize(void *reserved)
{
    CK_RV rv = CKR_OK;

    if (initialised != HERE)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    rv = sim_behind->C_Finalize(reserved);
    sim_slots_forget();
    initialised = NEVER;
    return rv;
}

#define MODELLED(name)                   .name = gate_##name,
#define OTHER(name, first, params, args) .name = gate_##name,
static CK_RV gate_C_GetFunctionList(CK_FUNCTION_LIST **list);
CK_FUNCTION_LIST sim_functions = {
    .version = { 2, 40 },
#include "../cryptoki_functions.h"
};

static CK_RV gate_C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (list == NULL)
        return CKR_ARGUMENTS_BAD;
    *list = &sim_functions;
    return CKR_OK;
}

void sim_load(void)
{
    front_sessions_init();
    if (pthread_atfork(NULL, NULL, after_fork_in_child) != 0)
        front_die("pthread_atfork failed");
    sim_behind =
        front_load(sim_config.module, C_GetFunctionList, &sim_functions);
    inner = *sim_behind;
    sim_object_functions(&inner);
    sim_sign_functions(&inner);
}

static void load(void)
{
    const char *text = secure_getenv(SIM_VARIABLE);

    sim_configure(text == NULL ? "" : text);
    sim_load();
}

/* The one symbol that the simulator exports. */
__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, load);
    return gate_C_GetFunctionList(list);
}
