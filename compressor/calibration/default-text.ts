/**
 * The text that quality is measured on where the user gives none: a little of several kinds. Nothing is ranked or fitted on
 * it; for that there is `defaultFitText`.
 */
export const defaultText = `The lighthouse at the end of the bay was built in 1874 of granite that came by barge from the quarries in the north. It stands thirty-one metres high, and its lamp, first fed with rapeseed oil and later with paraffin, could be seen for eighteen nautical miles in clear weather. Three keepers lived there with their families until the light was made automatic. Today the tower is a museum; visitors climb its one hundred and fifty-two steps to look at the old lens, which weighs more than a small car and still turns on a bath of mercury at the touch of a finger.

"You said the train leaves at six," Mara whispered, pulling her scarf tighter.
"I said it might," answered her brother. "The man at the window wasn't sure. He asked where we were going, and when I told him, he laughed."
"Why would he laugh?"
"Because nobody goes there in winter."
They sat down on the cold bench and shared the last of the bread. Somewhere behind the station a dog barked twice, and then it was quiet again.

Question: Why do leaves change colour in autumn?
Answer: During summer, leaves are full of chlorophyll, the green pigment that plants use to turn light into sugar. As the days grow shorter and colder, trees stop making chlorophyll, and what is left of it breaks down. Other pigments that were there all along, such as yellow and orange carotenoids, become visible. Some trees also make red anthocyanins from the sugar that stays in the leaf.

def moving_average(values, size):
    """Return the mean of every window of the given size."""
    if size < 1 or size > len(values):
        raise ValueError(f"size must be between 1 and {len(values)}, not {size}")
    total = sum(values[:size])
    means = [total / size]
    for i in range(size, len(values)):
        total += values[i] - values[i - size]
        means.append(total / size)
    return means

To make a simple vegetable soup, cut two onions, three carrots and a stick of celery into small pieces. Heat a spoonful of oil in a large pot, add the vegetables and a pinch of salt, and let them soften for ten minutes over low heat. Pour in a litre of water, add a bay leaf and two diced potatoes, and simmer until everything is tender. Season with pepper and lemon juice. If you like it smooth, blend half of the soup and stir it back in.

The city council voted on Tuesday to close the main square to cars from next spring. Supporters said that the change would make the centre safer and quieter and bring more people to its shops. Some owners of businesses fear the opposite: "Most of my customers come by car," said one of them, who has sold furniture near the square for twenty years. The council promised more buses, a new car park outside the walls, and a review after twelve months. A similar plan failed in 2011 by a single vote.

Once upon a time there was a little fox who was afraid of the dark. Every evening, when the sun went down behind the hill, she hid under her bed and closed her eyes. One night an owl sat down at her window. "Come out," said the owl, "I want to show you something." The fox did not want to go, but she was curious too. So she put one paw outside, and then another. And when she looked up, she saw more stars than she could ever count. "The dark is only the place where the stars live," said the owl, and the little fox smiled and was not afraid any more.

In mathematics, a prime number is a whole number greater than one that has no divisors other than one and itself. The first primes are 2, 3, 5, 7, 11 and 13. Euclid showed more than two thousand years ago that there are infinitely many of them: take any finite list of primes, multiply them all and add one; the result is divisible by none of the primes in the list, so there must be a prime that the list lacks. How the primes are spread among the other numbers is one of the oldest questions of the field, and parts of it are open to this day.

Dear Ms Okafor, thank you for your letter of 3 March. We have looked into your complaint about the late delivery and found that the parcel was held at the depot for nine days because its label had come off. We are sorry for the trouble this caused. We have refunded the shipping costs, and a voucher for your next order is enclosed. Yours sincerely, the customer service team.
`;
