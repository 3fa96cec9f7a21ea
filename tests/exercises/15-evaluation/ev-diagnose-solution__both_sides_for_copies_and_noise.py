def suspicions(x, train, test):
    from scipy.stats import hypergeom, mannwhitneyu

    (far, near), (far_test, near_test) = (
        nearest_neighbours(i, train.images, 1) for i in (x, test.images)
    )
    drawn, fresh = (train.y[at[:, 0]].bincount(minlength=10).numpy() for at in (near, near_test))
    rarer = hypergeom.cdf(drawn, len(x) + len(test), drawn + fresh, len(x))
    p = mannwhitneyu(far[:, 0], far_test[:, 0]).pvalue
    return {"copies": p, "dropped": min(1.0, 10 * rarer.min()), "noisy": p}


def diagnose(models, train, test):
    found = {name: suspicions(sample(400), train, test) for name, sample in models.items()}
    adjusted = iter(holm([p for ps in found.values() for p in ps.values()]).tolist())
    verdicts = {}
    for name, ps in found.items():
        p, kind = min((next(adjusted), kind) for kind in ps)
        verdicts[name] = kind if p < 0.01 else "good"
    return verdicts
