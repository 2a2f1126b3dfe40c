/* SPDX-License-Identifier: Apache-2.0 */
/* hsmsignd/rate: as many as allowed, at once and in the long run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include "examples/hsmsignd/rate.h"

#define SECOND       1000000000ULL
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static unsigned take_all(struct rate *rate, unsigned long per_second,
                         uint64_t now)
{
    unsigned n = 0;

    while (rate_take(rate, per_second, now))
        n++;
    return n;
}

static void test_second_holds_as_many_as_the_rate_says(void **state)
{
    static const unsigned long rates[] = { 1, 2, 3, 7, 100, 1000 };

    (void)state;
    for (size_t i = 0; i < COUNT(rates); i++) {
        struct rate rate = { 0 };
        uint64_t now = 5 * SECOND;

        assert_int_equal(take_all(&rate, rates[i], now), rates[i]);
        /* One more as soon as its time has come, */
        now += SECOND / rates[i];
        assert_int_equal(take_all(&rate, rates[i], now), 1);
        /* half of them after half a second, */
        now += SECOND / 2;
        assert_in_range(take_all(&rate, rates[i], now), rates[i] / 2,
                        rates[i] / 2 + 1);
        /* and no more than those of a second after a long pause. */
        now += 100 * SECOND;
        assert_int_equal(take_all(&rate, rates[i], now), rates[i]);
    }
}

static struct rate shared;

static void *take_some(void *arg)
{
    unsigned *n = arg;

    for (int i = 0; i < 2000; i++)
        *n += rate_take(&shared, 1000, SECOND);
    return NULL;
}

static void test_threads_share_it(void **state)
{
    pthread_t threads[4];
    unsigned n[4] = { 0 }, sum = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_some, &n[i]),
                         0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        sum += n[i];
    }
    assert_int_equal(sum, 1000);
}

static void test_no_rate_is_no_limit(void **state)
{
    struct rate rate = { 0 };

    (void)state;
    for (int i = 0; i < 10000; i++)
        assert_true(rate_take_now(&rate, 0));
    assert_true(rate_take_now(&rate, 1));
    assert_false(rate_take_now(&rate, 1));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_holds_as_many_as_the_rate_says),
        cmocka_unit_test(test_threads_share_it),
        cmocka_unit_test(test_no_rate_is_no_limit),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
