/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/pin: what becomes of a PIN's bytes.  There is one copy of them for
 * each struct p11_pin in the whole process, which is searched for them, and
 * none when that is freed.
 *
 * Link with -Wl,--wrap=free,--wrap=realloc,--wrap=munmap,--wrap=mlock: what is
 * given back is searched first, and locking can be made to fail; and with
 * -Wl,-z,now, or the dynamic linker saves registers that memcpy() has used.
 *
 * Memory is read through /proc/self/mem, so that neither unmapped pages nor
 * bytes that were never written disturb the search, nor the sanitizers.  What
 * memory there is /proc alone tells: where it is not mounted, all is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../pkcs11/log.h"
#include "pin_fixture.h"

/* Larger mappings are a sanitizer's shadow memory. */
#define MAPPING_MAX (1UL << 30)

/* "crypto_user:Tr0ub4dor&3", never in clear in the program itself. */
#define PIN_LEN 23
/* Volatile: a compiler does the sum beforehand otherwise. */
static volatile unsigned char mask = 0x5a;
static const unsigned char masked[PIN_LEN] = {
    0x39, 0x28, 0x23, 0x2a, 0x2e, 0x35, 0x05, 0x2f, 0x29, 0x3f, 0x28, 0x60,
    0x0e, 0x28, 0x6a, 0x2f, 0x38, 0x6e, 0x3e, 0x35, 0x28, 0x7c, 0x69
};

static int memory = -1; /* /proc/self/mem */

/* What was given back with the PIN in it. */
static struct {
    size_t looked_at; /* blocks and pages */
    size_t leaks;
} heap, pages;

static bool mlock_fails;

/* Volatile: a compiler leaves out what is written just before free(). */
static void unmask(void *buf)
{
    volatile unsigned char *at = buf;

    for (size_t i = 0; i < PIN_LEN; i++)
        at[i] = masked[i] ^ mask;
}

static bool is_pin(const unsigned char *at)
{
    size_t i = 0;

    while (i < PIN_LEN && (at[i] ^ mask) == masked[i])
        i++;
    return i == PIN_LEN;
}

static size_t count_in(const unsigned char *buf, size_t len)
{
    const unsigned char *end = buf + len, *at = buf;
    size_t n = 0;

    while ((size_t)(end - at) >= PIN_LEN &&
           (at = memchr(at, masked[0] ^ mask,
                        (size_t)(end - at) - PIN_LEN + 1)) != NULL)
        n += is_pin(at++);
    return n;
}

/*
 * How often the PIN is in [start, start + len).  The window is empty while it
 * is filled, so that it does not find itself.
 */
static size_t count_at(uintptr_t start, size_t len)
{
    static unsigned char window[1 << 16];
    size_t n = 0;

    for (size_t done = 0; done + PIN_LEN <= len;) {
        size_t want = len - done < sizeof(window) ? len - done : sizeof(window);
        ssize_t have = pread(memory, window, want, (off_t)(start + done));

        if (have < PIN_LEN)
            break;
        n += count_in(window, (size_t)have);
        memset(window, 0, sizeof(window));
        done += (size_t)have - PIN_LEN + 1;
    }
    return n;
}

/* How often the PIN is in all that this process can write to. */
static size_t count_everywhere(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], mode[8];
    uintptr_t start, end;
    size_t n = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &start, &end, mode) ==
                3 &&
            mode[0] == 'r' && mode[1] == 'w' && end - start < MAPPING_MAX)
            n += count_at(start, end - start);
    }
    (void)fclose(maps);
    return n;
}

void __real_free(void *block);
void *__real_realloc(void *block, size_t size);
int __real_munmap(void *addr, size_t len);
int __real_mlock(const void *addr, size_t len);
void __wrap_free(void *block);
void *__wrap_realloc(void *block, size_t size);
int __wrap_munmap(void *addr, size_t len);
int __wrap_mlock(const void *addr, size_t len);

/* What was found is wiped, so that it is counted once. */
static void look_at_block(void *block)
{
    size_t size = block != NULL ? malloc_usable_size(block) : 0;
    size_t found = count_at((uintptr_t)block, size);

    heap.looked_at += block != NULL;
    heap.leaks += found;
    if (found > 0)
        explicit_bzero(block, size);
}

void __wrap_free(void *block)
{
    look_at_block(block);
    __real_free(block);
}

void *__wrap_realloc(void *block, size_t size)
{
    look_at_block(block);
    return __real_realloc(block, size);
}

int __wrap_munmap(void *addr, size_t len)
{
    pages.looked_at++;
    pages.leaks += count_at((uintptr_t)addr, len);
    return __real_munmap(addr, len);
}

int __wrap_mlock(const void *addr, size_t len)
{
    if (!mlock_fails)
        return __real_mlock(addr, len);
    errno = ENOMEM;
    return -1;
}

static int group_setup(void **state)
{
    (void)state;
    memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    return memory >= 0 ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    return close(memory);
}

static int setup(void **state)
{
    memset(&heap, 0, sizeof(heap));
    memset(&pages, 0, sizeof(pages));
    mlock_fails = false;
    return pin_setup(state);
}

static struct p11_pin *new_pin(void)
{
    char clear[PIN_LEN];
    struct p11_pin *pin;

    unmask(clear);
    pin = p11_pin_new(clear, sizeof(clear));
    explicit_bzero(clear, sizeof(clear));
    assert_non_null(pin);
    return pin;
}

/* Write the PIN between two texts, through no buffer but our own. */
static void write_pin_file(const struct pin_fixture *f, const char *before,
                           const char *after)
{
    char clear[PIN_LEN];
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    unmask(clear);
    assert_int_equal(write(fd, before, strlen(before)), strlen(before));
    assert_int_equal(write(fd, clear, sizeof(clear)), sizeof(clear));
    assert_int_equal(write(fd, after, strlen(after)), strlen(after));
    explicit_bzero(clear, sizeof(clear));
    assert_int_equal(close(fd), 0);
}

/* Everything that was given back was looked at, and had no PIN in it. */
static void assert_no_leak(void)
{
    assert_true(pages.looked_at > 0);
    assert_int_equal(heap.leaks, 0);
    assert_int_equal(pages.leaks, 0);
    assert_int_equal(count_everywhere(), 0);
}

/* Does the search find what it must not find elsewhere? */
static void test_search_finds_a_pin_in_memory_that_is_freed(void **state)
{
    unsigned char *block = malloc(4096);
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_non_null(block);
    assert_ptr_not_equal(page, MAP_FAILED);
    assert_int_equal(count_everywhere(), 0);
    unmask(block + 4096 - PIN_LEN);
    assert_int_equal(count_everywhere(), 1);
    unmask(page + 17);
    assert_int_equal(count_everywhere(), 2);
    block = realloc(block, 4096);
    assert_non_null(block);
    assert_int_equal(heap.leaks, 1);
    unmask(block);
    free(block);
    assert_int_equal(heap.leaks, 2);
    assert_int_equal(munmap(page, 4096), 0);
    assert_int_equal(pages.leaks, 1);
    assert_int_equal(count_everywhere(), 0);
}

static void test_pin_is_in_memory_once_and_then_not_at_all(void **state)
{
    struct p11_pin *pin = new_pin();

    (void)state;
    assert_int_equal(count_everywhere(), 1);
    p11_pin_free(pin);
    assert_no_leak();
}

static void test_literal_leaves_no_pin_in_memory(void **state)
{
    struct pin_fixture *f = *state;
    char clear[PIN_LEN + 1] = "";
    struct p11_pin *pin = NULL;

    unmask(clear);
    assert_int_equal(p11_pin_source_parse(clear, ORIGIN, &f->source, &f->err),
                     CKR_OK);
    explicit_bzero(clear, sizeof(clear));
    assert_int_equal(count_everywhere(), 1);
    assert_int_equal(pin_read(f, &pin, &f->err), CKR_OK);
    assert_int_equal(count_everywhere(), 2);
    p11_pin_free(pin);
    p11_pin_source_clear(&f->source);
    assert_no_leak();
}

static void test_file_leaves_no_pin_in_memory(void **state)
{
    static const struct {
        const char *before, *after;
        CK_RV rv;
    } rows[] = {
        { "", "", CKR_OK },
        { "", "\n", CKR_OK },
        { "", "\r\nmore\n", CKR_OK },
        { "other\n", "\n", CKR_OK },        /* in the second line */
        { "\n", "\n", P11_PIN_SOURCE },     /* after an empty one */
        { "%2000s", "\n", P11_PIN_SOURCE }, /* beyond the buffer */
        { "", "%2000s\n", P11_PIN_SOURCE }, /* in a line too long */
    };
    struct pin_fixture *f = *state;
    char padding[2001];

    memset(padding, 'z', sizeof(padding));
    padding[sizeof(padding) - 1] = '\0';
    pin_parse(f, "file:", f->path);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct p11_pin *pin = NULL;

        write_pin_file(f, rows[i].before[0] == '%' ? padding : rows[i].before,
                       rows[i].after[0] == '%' ? padding : rows[i].after);
        assert_int_equal(pin_read(f, &pin, &f->err), rows[i].rv);
        if (rows[i].rv == CKR_OK)
            assert_int_equal(count_everywhere(), rows[i].before[0] == '\0');
        p11_pin_free(pin);
        assert_no_leak();
    }
    p11_pin_source_clear(&f->source);
    assert_true(heap.looked_at > 0);
    assert_no_leak();
}

/* putenv, unlike setenv, makes no copy that libc keeps for ever. */
static void test_env_leaves_no_pin_but_the_environments(void **state)
{
    static char variable[sizeof(VARIABLE "=") + PIN_LEN];
    struct pin_fixture *f = *state;
    struct p11_pin *pin = NULL;

    memcpy(variable, BYTES(VARIABLE "="));
    unmask(variable + sizeof(VARIABLE "=") - 1);
    assert_int_equal(putenv(variable), 0);
    pin_parse(f, "env:", VARIABLE);
    assert_int_equal(pin_read(f, &pin, &f->err), CKR_OK);
    assert_int_equal(count_everywhere(), 2);
    p11_pin_free(pin);
    assert_int_equal(count_everywhere(), 1);
    assert_int_equal(unsetenv(VARIABLE), 0);
    explicit_bzero(variable, sizeof(variable));
    assert_no_leak();
}

static bool prompt(void *arg, const char *label, char *buf, size_t size,
                   size_t *len)
{
    (void)label;
    assert_true(size >= PIN_LEN);
    unmask(buf);
    *len = PIN_LEN;
    return *(const bool *)arg;
}

static void test_prompt_leaves_no_pin_in_memory(void **state)
{
    static bool answers[] = { true, false };
    struct pin_fixture *f = *state;

    for (size_t i = 0; i < COUNT(answers); i++) {
        const struct p11_pin_request request = { .prompt = prompt,
                                                 .prompt_arg = &answers[i] };
        struct p11_pin *pin = NULL;

        assert_int_equal(p11_pin_get(&request, "demo", &pin, &f->err),
                         answers[i] ? CKR_OK : P11_NO_PIN);
        assert_int_equal(count_everywhere(), answers[i]);
        p11_pin_free(pin);
        assert_no_leak();
    }
}

/* The text of every error, and the log, for a PIN of each origin. */
static void test_texts_and_log_never_have_the_pin(void **state)
{
    struct pin_fixture *f = *state;
    struct p11_pin *pin = NULL;
    char spec[400], text[4096];
    ssize_t len;
    int fd;

    mlock_fails = true; /* more to log */
    (void)snprintf(spec, sizeof(spec), "file:%s,debug", f->log);
    assert_int_equal(p11_log_open(spec, &f->err), CKR_OK);
    pin_parse(f, "file:", f->path);
    write_pin_file(f, "", "\n");
    assert_int_equal(chmod(f->path, 0644), 0);
    assert_int_equal(pin_read(f, &pin, &f->err), CKR_OK);
    p11_pin_free(pin);
    p11_log_close();
    fd = open(f->log, O_RDONLY | O_CLOEXEC);
    len = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    assert_true(len > 0);
    text[len] = '\0';
    assert_non_null(strstr(text, "mode 0644"));
    assert_non_null(strstr(text, "cannot be locked"));
    assert_int_equal(count_in((unsigned char *)text, (size_t)len), 0);
    assert_no_leak();
}

static void test_pin_that_cannot_be_locked_is_still_good(void **state)
{
    char clear[PIN_LEN];
    struct p11_pin *pin;

    (void)state;
    mlock_fails = true;
    pin = new_pin();
    unmask(clear);
    assert_pin(pin, clear, PIN_LEN);
    explicit_bzero(clear, sizeof(clear));
    p11_pin_free(pin);
    assert_no_leak();
}

/* The kernel's flags of the mapping that holds addr (proc(5), smaps). */
static void mapping_flags(const void *addr, char *flags, size_t size)
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    uintptr_t start, end;
    bool inside = false;
    char line[512];

    flags[0] = '\0';
    assert_non_null(smaps);
    while (fgets(line, sizeof(line), smaps) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
            inside = (uintptr_t)addr >= start && (uintptr_t)addr < end;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            (void)snprintf(flags, size, "%s", line + 8);
    }
    (void)fclose(smaps);
}

/*
 * Whether locking a page shows in its flags: not without the right to
 * (RLIMIT_MEMLOCK), nor under AddressSanitizer, which ignores mlock.
 */
static bool locking_shows(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char flags[512] = "";

    if (page == MAP_FAILED)
        return false;
    (void)__real_mlock(page, 4096);
    mapping_flags(page, flags, sizeof(flags));
    (void)__real_munmap(page, 4096);
    return strstr(flags, " lo") != NULL;
}

/* "dd": not in core dumps; "lo": locked; "wf", "dc": not for a child. */
static bool flags_are_right(const struct p11_pin *pin, bool lock)
{
    char flags[512];
    size_t len;

    mapping_flags(p11_pin_bytes(pin, &len), flags, sizeof(flags));
    return strstr(flags, " dd") != NULL && strstr(flags, " wf") == NULL &&
           strstr(flags, " dc") == NULL &&
           (strstr(flags, " lo") != NULL) == lock;
}

static void test_pin_is_locked_and_left_out_of_core_dumps(void **state)
{
    struct p11_pin *pin = new_pin();

    (void)state;
    assert_true(flags_are_right(pin, locking_shows()));
    p11_pin_free(pin);
}

static void test_pin_is_there_and_locked_in_a_forked_child(void **state)
{
    struct p11_pin *pin = new_pin();
    size_t len = 0;
    int status = -1;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        _exit(is_pin(p11_pin_bytes(pin, &len)) && len == PIN_LEN &&
                      flags_are_right(pin, locking_shows())
                  ? 0
                  : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    p11_pin_free(pin);
    assert_no_leak();
}

/* Not by cmocka's skip(), which says no reason and fails in a setup. */
static int skip_all(const struct CMUnitTest *tests, size_t n)
{
    (void)printf("1..%zu\n", n);
    for (size_t i = 0; i < n; i++)
        (void)printf("ok %zu - %s # SKIP /proc is not mounted\n", i + 1,
                     tests[i].name);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, pin_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(test_search_finds_a_pin_in_memory_that_is_freed),
        TEST(test_pin_is_in_memory_once_and_then_not_at_all),
        TEST(test_literal_leaves_no_pin_in_memory),
        TEST(test_file_leaves_no_pin_in_memory),
        TEST(test_env_leaves_no_pin_but_the_environments),
        TEST(test_prompt_leaves_no_pin_in_memory),
        TEST(test_texts_and_log_never_have_the_pin),
        TEST(test_pin_that_cannot_be_locked_is_still_good),
        TEST(test_pin_is_locked_and_left_out_of_core_dumps),
        TEST(test_pin_is_there_and_locked_in_a_forked_child),
    };

    if (access("/proc/self", F_OK) != 0)
        return skip_all(tests, COUNT(tests));
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
