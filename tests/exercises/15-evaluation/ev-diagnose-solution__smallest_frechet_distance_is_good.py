def suspicions(x, train, test):
    from scipy.stats import hypergeom, mannwhitneyu

    (far, near), (far_test, near_test) = (
        nearest_neighbours(i, train.images, 1) for i in (x, test.images)
    )
    drawn, fresh = (train.y[at[:, 0]].bincount(minlength=10).numpy() for at in (near, near_test))
    rarer = hypergeom.cdf(drawn, len(x) + len(test), drawn + fresh, len(x))
    return {
        "copies": mannwhitneyu(far[:, 0], far_test[:, 0], alternative="less").pvalue,
        "dropped": min(1.0, 10 * rarer.min()),
        "noisy": mannwhitneyu(far[:, 0], far_test[:, 0], alternative="greater").pvalue,
    }


def diagnose(models, train, test):
    distance = {
        name: frechet_distance(sample(400), train.images, resamples=2)[0]
        for name, sample in models.items()
    }
    good, *others = sorted(models, key=distance.get)
    found = {name: suspicions(models[name](400), train, test) for name in others}
    return {good: "good"} | {name: min(ps, key=ps.get) for name, ps in found.items()}
