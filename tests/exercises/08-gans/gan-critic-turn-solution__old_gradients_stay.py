def critic_turn(generator, critic, optimizer, real, z):
    fake = generator(z).detach()
    value = (logsigmoid(critic(real)) + logsigmoid(-critic(fake))).mean()
    (-value).backward()
    optimizer.step()
