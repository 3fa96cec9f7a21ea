def self_train(x, y, threshold, rounds):
    known = y >= 0
    model = LogisticRegression().fit(x[known], y[known])
    for _ in range(rounds):
        probs = torch.as_tensor(model.predict_proba(x))
        guess = torch.as_tensor(model.predict(x))
        use = known | (probs.max(1).values >= threshold)
        model = LogisticRegression().fit(x[use], guess[use])
    return model
