def self_train(x, y, threshold, rounds):
    y = y.clone()
    model = LogisticRegression().fit(x[y >= 0], y[y >= 0])
    for _ in range(rounds):
        probs = torch.as_tensor(model.predict_proba(x))
        guess = torch.as_tensor(model.predict(x))
        sure = (y < 0) & (probs.max(1).values >= threshold)
        y[sure] = guess[sure]
        model = LogisticRegression().fit(x[y >= 0], y[y >= 0])
    return model
