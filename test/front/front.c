/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "front.h"

void front_die(const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    (void)fprintf(stderr, "%s: %s\n", front_name, line);
    abort();
}

void front_sleep_us(unsigned long us)
{
    struct timespec left = { .tv_sec = (time_t)(us / 1000000),
                             .tv_nsec = (long)(us % 1000000) * 1000 };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

unsigned long front_number(const char **text, const char *variable)
{
    int base = strncmp(*text, "0x", 2) == 0 ? 16 : 10;
    const char *digits = base == 16 ? *text + 2 : *text;
    char *end = NULL;
    unsigned long n = 0;

    errno = 0;
    if (isxdigit((unsigned char)*digits))
        n = strtoul(digits, &end, base);
    if (end == NULL || end == digits || errno != 0)
        front_die("%s: a number is expected at \"%s\"", variable, *text);
    *text = end;
    return n;
}

unsigned long front_whole_number(const char *text, const char *variable)
{
    const char *end = text;
    unsigned long n = front_number(&end, variable);

    if (*end != '\0')
        front_die("%s: \"%s\" is not a number", variable, text);
    return n;
}

bool front_next_item(const char **list, char separator, char *item, size_t size,
                     const char *variable)
{
    const char separators[2] = { separator, '\0' };
    size_t len = strcspn(*list, separators);

    if (**list == '\0')
        return false;
    if (len == 0 || len >= size)
        front_die("%s: an item is empty or too long", variable);
    memcpy(item, *list, len);
    item[len] = '\0';
    *list += len;
    if (**list == separator) {
        (*list)++;
        if (**list == '\0')
            front_die("%s: nothing after the last '%c'", variable, separator);
    }
    return true;
}

/* One row for each pointer of the function list: none is forgotten. */
#define MODELLED(name)                   FUNCTION_##name,
#define OTHER(name, first, params, args) FUNCTION_##name,
enum {
#include "../cryptoki_functions.h"
    FUNCTIONS
};
_Static_assert((sizeof(CK_FUNCTION_LIST) -
                offsetof(CK_FUNCTION_LIST, C_Initialize)) /
                       sizeof(CK_C_Initialize) ==
                   FUNCTIONS,
               "cryptoki_functions.h does not list all functions");

/* The list is an array of function pointers after the version. */
static void hide_absent(CK_FUNCTION_LIST *list, const CK_FUNCTION_LIST *behind)
{
    const size_t size = sizeof(CK_C_Initialize);
    size_t at = 0;

    for (at = offsetof(CK_FUNCTION_LIST, C_Initialize);
         at < sizeof(CK_FUNCTION_LIST); at += size) {
        CK_C_Initialize function = NULL;

        memcpy(&function, (const char *)behind + at, size);
        if (function == NULL)
            memcpy((char *)list + at, &function, size);
    }
}

/*
 * RTLD_LOCAL: its C_ functions must not be found in place of another
 * module's; and no RTLD_DEEPBIND, with which SoftHSM crashes in a program that
 * has an allocator of its own.
 */
CK_FUNCTION_LIST *front_load(const char *path, CK_C_GetFunctionList own,
                             CK_FUNCTION_LIST *list)
{
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *behind = NULL;
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_RV rv = CKR_OK;

    if (module == NULL)
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): is so in glibc */
        front_die("%s", dlerror());
    *(void **)&get = dlsym(module, "C_GetFunctionList");
    if (get == NULL)
        front_die("%s has no C_GetFunctionList", path);
    if (get == own)
        front_die("%s is the %s itself", path, front_name);
    rv = get(&behind);
    if (rv != CKR_OK || behind == NULL)
        front_die("%s: C_GetFunctionList: 0x%lx", path, rv);
    hide_absent(list, behind);
    return behind;
}

/* Our answer for one attribute, in C_GetAttributeValue's own way. */
static CK_RV give(const struct front_answer *answer, CK_ATTRIBUTE *attribute)
{
    CK_RV rv = answer->rv;

    if (rv == CKR_OK && attribute->pValue != NULL &&
        attribute->ulValueLen < answer->len)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv == CKR_OK && attribute->pValue != NULL && answer->len > 0)
        memcpy(attribute->pValue, answer->value, answer->len);
    attribute->ulValueLen =
        rv == CKR_OK ? answer->len : CK_UNAVAILABLE_INFORMATION;
    return rv;
}

/*
 * The token gets the template with CKA_CLASS, which every object has, in the
 * places of our answers: it still checks the session and the object, and what
 * it thinks of our attributes plays no part.
 */
CK_RV front_get_attributes(CK_FUNCTION_LIST *behind, CK_SESSION_HANDLE session,
                           CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
                           CK_ULONG count, front_answer_fn *answer,
                           const void *arg)
{
    struct front_answer ours;
    CK_OBJECT_CLASS class = 0;
    CK_ATTRIBUTE *asked = NULL;
    CK_RV rv = CKR_OK;
    CK_ULONG i = 0;

    if (templ == NULL || count == 0)
        return behind->C_GetAttributeValue(session, object, templ, count);
    asked = calloc(count, sizeof(*asked));
    if (asked == NULL)
        return CKR_HOST_MEMORY;
    for (i = 0; i < count; i++) {
        asked[i] = templ[i];
        if (answer(templ[i].type, &ours, arg))
            asked[i] = (CK_ATTRIBUTE){ CKA_CLASS, &class, sizeof(class) };
    }
    rv = behind->C_GetAttributeValue(session, object, asked, count);
    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID &&
        rv != CKR_ATTRIBUTE_SENSITIVE && rv != CKR_BUFFER_TOO_SMALL)
        goto out;
    for (i = 0; i < count; i++) {
        if (!answer(templ[i].type, &ours, arg)) {
            templ[i].ulValueLen = asked[i].ulValueLen;
        } else {
            CK_RV given = give(&ours, &templ[i]);

            rv = rv == CKR_OK ? given : rv;
        }
    }
out:
    free(asked);
    return rv;
}
