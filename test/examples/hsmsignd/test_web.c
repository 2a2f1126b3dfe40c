/* SPDX-License-Identifier: Apache-2.0 */
/* hsmsignd/web: which files are served, and which page is the service's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "examples/hsmsignd/web.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_only_addresses_are_the_services_own(void **state)
{
    static const struct {
        const char *origin, *host;
        bool own;
    } rows[] = {
        { "http://127.0.0.1:6000", "127.0.0.1:6000", true },
        { "http://127.0.0.1", "127.0.0.1", true },
        { "https://10.0.0.5", "10.0.0.5", true },
        { "http://localhost:6000", "localhost:6000", true },
        { "http://LOCALHOST", "localhost", true },
        { "http://[::1]:6000", "[::1]:6000", true },
        { "http://[::1]", "[::1]", true },
        { "http://127.0.0.1:6001", "127.0.0.1:6000", false },
        { "http://127.0.0.1", "127.0.0.1:6000", false },
        { "http://evil.example:6000", "127.0.0.1:6000", false },
        /* Whoever has the name decides what it points to. */
        { "http://evil.example:6000", "evil.example:6000", false },
        { "http://127.0.0.1.evil.example", "127.0.0.1.evil.example", false },
        { "http://localhost.evil.example", "localhost.evil.example", false },
        { "http://1", "1", false },
        { "http://0x7f000001", "0x7f000001", false },
        { "http://", "", false },
        { "http://:80", ":80", false },
        { "http://[::1", "[::1", false },
        { "http://[]", "[]", false },
        { "null", "127.0.0.1", false },
        { "file://127.0.0.1", "127.0.0.1", false },
        { "127.0.0.1", "127.0.0.1", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(web_is_own(rows[i].origin, rows[i].host), rows[i].own);
}

static void make_file(const char *dir, const char *name, size_t len)
{
    char path[128], block[1000];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    memset(block, 'x', sizeof(block));
    for (; len > 0; len -= len < sizeof(block) ? len : sizeof(block))
        (void)fwrite(block, 1, len < sizeof(block) ? len : sizeof(block), file);
    (void)fclose(file);
}

static void test_files_of_the_directory_are_served_and_no_others(void **state)
{
    static const struct {
        const char *url, *type; /* type NULL: not served */
        long len;
    } rows[] = {
        { "/web", "text/html; charset=utf-8", 3 },
        { "/web/", "text/html; charset=utf-8", 3 },
        { "/web/index.html", "text/html; charset=utf-8", 3 },
        { "/web/a.js", "text/javascript; charset=utf-8", 100000 },
        { "/web/a.css", "text/css; charset=utf-8", 0 },
        { "/web/a.txt", NULL, 0 },
        { "/web/none.html", NULL, 0 },
        { "/web/.hidden.html", NULL, 0 },
        { "/web/link.html", NULL, 0 },
        { "/web/fifo.html", NULL, 0 },
        { "/web/dir.html", NULL, 0 },
        { "/web/large.html", NULL, 0 },
        { "/web/../secret.html", NULL, 0 },
        { "/web/dir.html/index.html", NULL, 0 },
        { "/web/..", NULL, 0 },
        { "/web//index.html", NULL, 0 },
    };
    char base[] = "/tmp/web-XXXXXX", dir[64], path[128];
    const char *type;
    BIO *out;

    (void)state;
    assert_non_null(mkdtemp(base));
    make_file(base, "secret.html", 5);
    (void)snprintf(dir, sizeof(dir), "%s/web", base);
    assert_int_equal(mkdir(dir, 0700), 0);
    make_file(dir, "index.html", 3);
    make_file(dir, "a.js", 100000);
    make_file(dir, "a.css", 0);
    make_file(dir, "a.txt", 3);
    make_file(dir, ".hidden.html", 3);
    make_file(dir, "large.html", 1024 * 1024 + 1);
    (void)snprintf(path, sizeof(path), "%s/link.html", dir);
    assert_int_equal(symlink("../secret.html", path), 0);
    (void)snprintf(path, sizeof(path), "%s/fifo.html", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)snprintf(path, sizeof(path), "%s/dir.html", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    make_file(path, "index.html", 3);
    for (size_t i = 0; i < COUNT(rows); i++) {
        out = web_read(dir, rows[i].url, &type);
        assert_int_equal(out != NULL, rows[i].type != NULL);
        if (out == NULL)
            continue;
        assert_string_equal(type, rows[i].type);
        assert_int_equal(BIO_ctrl_pending(out), rows[i].len);
        BIO_free(out);
    }
    assert_null(web_read("/nothing", "/web/", &type));
    (void)snprintf(path, sizeof(path), "rm -r %s", base);
    assert_int_equal(system(path), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_addresses_are_the_services_own),
        cmocka_unit_test(test_files_of_the_directory_are_served_and_no_others),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
