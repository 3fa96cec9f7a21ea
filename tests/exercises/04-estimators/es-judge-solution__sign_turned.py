def deviations(estimator, problem, parameter, truth, draws=20_000, k=4):
    (g,) = estimators.gradient_samples(estimator, problem, [parameter], draws, k)
    return (truth - g.mean(0)) / (g.std(0) / draws**0.5)


def unbiased():
    return {"C"}
