/**
 * The text that layers are ranked and patches and int4 are fitted on where the user gives none: about 5,000 tokens of several
 * kinds, and nothing of the text that quality is then measured on. A text of one's own, like what the model will be used
 * for, does better.
 */
export const defaultFitText = `Bread begins with patience. Mix five hundred grams of flour with three hundred and fifty of lukewarm water until no dry spots are left, cover the bowl and go away for half an hour. In that time the flour drinks the water and the gluten forms by itself, without any kneading. Then add ten grams of salt and a piece of yeast no larger than a hazelnut, and fold the dough over itself a few times with wet hands. Fold it again every half hour, four times in all, and put the bowl into the fridge overnight. In the morning the dough should have doubled and be full of bubbles. Shape it gently, let it rest for an hour, and bake it in a covered iron pot, as hot as your oven goes, for thirty minutes; then take off the lid and bake until the crust is the colour of chestnuts. Let it cool before you cut it, though nobody ever does.

Rivers do not flow straight for long. Water on the outside of a bend runs faster than water on the inside, so the outer bank is worn away while sand and gravel settle on the inner one, and the bend grows. After some hundreds of years the neck of land between two bends may be so narrow that a single flood breaks through it. The river takes the shorter way, and what is left of the old bend becomes a lake in the shape of a horseshoe, which slowly fills with mud and reeds. From the air one can see the traces of dozens of such lakes in any broad valley: a record of all the places where the river has been.

"Is this seat taken?"
The old man looked up from his crossword. "It was, but she got off at the last stop. Sit down. Do you know a word of seven letters for a small boat?"
"Coracle," I said, and took off my wet coat.
He counted the squares with his pencil. "Well, I'll be damned. Forty years I've been doing these, and never once has anybody on this train known a coracle."
"My grandmother had one. She used it to fetch the post when the bridge was under water."
"Did she ever fall in?"
"Only once. She said the post was mostly bills anyway."
He laughed so hard that the woman across the aisle put down her book to see what was the matter.

Question: What is the difference between weather and climate?
Answer: Weather is what happens in the air at one place and time: today's rain, tonight's frost. Climate is what the weather is like over many years, with its averages and its extremes. One cold winter says little about the climate, as one tall person says little about the height of a people. It takes decades of records to see whether the climate of a region has changed.

Question: How do vaccines work?
Answer: A vaccine shows the body a harmless part of a germ, or instructions for making one. Cells of the immune system that happen to recognise it multiply, some make antibodies, and a few stay behind for years as a memory. When the real germ comes, they answer within days rather than weeks, often before one feels ill at all.

Question: Why is the sea salty?
Answer: Rain is slightly acid and dissolves a little of the rocks it runs over. Rivers carry the dissolved salts to the sea, where the water evaporates and the salts stay. Hot springs on the sea floor add more. Over hundreds of millions of years this has come to about thirty-five grams in every kilogram of sea water.

class Inventory:
    """Counts the items of a small shop, and says what has to be ordered."""

    def __init__(self, minimum=5):
        self.minimum = minimum
        self.items = {}

    def add(self, name, count=1):
        if count <= 0:
            raise ValueError("count must be positive")
        self.items[name] = self.items.get(name, 0) + count

    def sell(self, name, count=1):
        if self.items.get(name, 0) < count:
            raise KeyError(f"not enough {name} in stock")
        self.items[name] -= count
        return self.items[name]

    def to_order(self):
        return sorted(name for name, count in self.items.items() if count < self.minimum)


shop = Inventory(minimum=3)
shop.add("tea", 10)
shop.add("sugar", 2)
print(shop.to_order())  # ['sugar']

The parliament of the small island republic met for the last time in its old building on Friday. From next week its forty-one members will sit in a former fish hall by the harbour, which has been rebuilt at a cost of eleven million. The speaker rang the bell that has opened every session since 1903, thanked the caretakers by name, and reminded the house that the roof had leaked on each of his predecessors. Members of the opposition complained that the new chamber has no gallery for visitors; the minister for public works replied that one would be added as soon as the budget allowed. Fishermen who still land their catch next door said they hoped the debates would not scare away the herring.

Photosynthesis takes place in two stages. In the first, chlorophyll in the membranes of the chloroplast absorbs light, and its energy splits water into oxygen, protons and electrons. The electrons pass along a chain of proteins and leave their energy in two carriers, ATP and NADPH. In the second stage, which needs no light, an enzyme called rubisco fastens carbon dioxide to a sugar of five carbon atoms, and the carriers supply the energy to turn the product into new sugar. Rubisco is slow and makes mistakes, so plants need a great deal of it; it may well be the most common protein on Earth.

Minutes of the meeting of 14 October
Present: Ana, Joris, Mbali, Stefan (notes)
1. The minutes of the last meeting were accepted.
2. Garden: the fence on the north side has to be replaced. Joris has two offers, for 1,850 and 2,200 euros. The cheaper one does not include taking the old fence away. Decision: Joris asks what that would cost.
3. Summer party: forty guests came, against sixty the year before. Mbali suggests moving it to September, when fewer people are on holiday. No decision.
4. Money: there are 3,412 euros in the account. The insurance of 640 euros is due in December.
5. Any other business: the key of the tool shed is missing again. Whoever has it is asked to hang it back.
Next meeting: 11 November, at Ana's.

Long before the clock, people measured the night by the stars and the day by shadows. The Egyptians divided both into twelve hours, so that an hour of a summer day was longer than one of a summer night, and nobody minded. Water clocks ran evenly, but had to be refilled and kept from freezing. The first mechanical clocks, in the towers of European towns around the year 1300, had no faces; they only struck the hours, and lost or gained a quarter of an hour a day. The pendulum brought that down to seconds. Only when railways joined towns whose noons were minutes apart did it become necessary that all clocks agree, and for some decades travellers carried watches with two minute hands: one for home, and one for the trains.

Let n be a whole number. If n is even, it can be written as 2k, and its square is 4k², which is even. If n is odd, it is 2k + 1, and its square is 4k² + 4k + 1, which is odd. So a square is even only if the number itself is. Now suppose that the square root of two were a fraction p/q in lowest terms. Then p² = 2q², so p² is even, and p is even too: p = 2r. It follows that 4r² = 2q², or q² = 2r², so q is even as well. But then p and q have the factor two in common, although the fraction was in lowest terms. The assumption must be wrong: the square root of two is no fraction.

To whom it may concern,
I am writing about the street lamp in front of number 27, Mill Lane, which has been flickering since the beginning of the month. I reported it by telephone on the 4th and again on the 12th, and was told on both occasions that somebody would come within five working days. Nobody has. The lamp now goes out altogether for several minutes at a time, and as the pavement is being dug up on the other side, people have to walk in the road in the dark. I should be grateful if you could have it repaired before somebody is hurt.
Yours faithfully,
H. Lindqvist

How to change the tube of a bicycle tyre. First, let out what air is left and loosen the wheel. Push the bead of the tyre into the middle of the rim all the way round, where the rim is deepest; this gives you the slack you need. Put a lever under the edge of the tyre opposite the valve, pull it down, and hook it to a spoke. A second lever, a hand's breadth away, will usually free enough of the tyre to pull off one whole side. Take out the tube. Before you put in the new one, run your fingers carefully along the inside of the tyre: whatever made the hole may still be there. Pump a little air into the new tube so that it holds its shape, put the valve through its hole, and tuck the tube in. Work the tyre back over the rim with your thumbs, ending at the valve. If the last bit will not go, let out some air and push the bead into the middle again. Do not use a lever: it is the best way to pinch a new tube.

The wolf came to the edge of the village on the coldest night of the year. He did not howl. He sat down in the snow before the last house and waited, until the girl who lived there opened the door to see why the dog was whining. "I have come to return something," said the wolf. He put down a red woollen glove, which she had lost in the forest in the autumn. It was dirty, and one finger had been chewed. "I meant to keep it," he said, "because it smelled of bread. But my children are grown and gone, and I am too old to have things that are not mine." The girl thought about this. Then she went in, and came back with the other glove and half a loaf. "It is no use having only one," she said. In the spring, hunters found the tracks of a wolf that seemed to walk now and then on feet of wool, and nobody in the village would tell them why.

{"order": 48213, "customer": {"name": "Priya Raman", "city": "Leeds"}, "items": [{"sku": "LMP-07", "name": "Desk lamp", "quantity": 1, "price": 39.5}, {"sku": "BLB-22", "name": "LED bulb, warm white", "quantity": 4, "price": 3.2}], "shipping": "standard", "total": 52.3, "paid": true}

A map is a list of lies told for a good purpose. It makes the round world flat, which cannot be done without tearing or stretching; it draws roads far wider than they are, since they could not be seen otherwise; and it leaves out nearly everything. Which lies are told depends on what the map is for. A sailor needs angles to be right and does not care that Greenland looks as large as Africa. Somebody who compares harvests needs areas to be right and can live with bent coasts. The map of an underground railway gives up both, and even distance, and keeps only the order of the stations and where the lines cross. It is perhaps the most useful of all maps, and the least true.

SELECT city, COUNT(*) AS orders, ROUND(AVG(total), 2) AS mean_total
FROM orders
JOIN customers ON customers.id = orders.customer_id
WHERE orders.created_at >= '2024-01-01' AND orders.status <> 'cancelled'
GROUP BY city
HAVING COUNT(*) > 10
ORDER BY mean_total DESC
LIMIT 20;

Whales descend from animals that walked on land. Some fifty million years ago their ancestors were about the size of a wolf, lived beside shallow seas and hunted in the water. Step by step, as the fossils show, the legs became shorter, the tail stronger, and the nostrils moved from the tip of the snout to the top of the head. The nearest living relatives of whales are hippopotamuses. Whales still breathe air, have warm blood and give milk, and a few small bones deep in their bodies are what is left of the hind legs. When they swim, they bend their backs up and down, as a galloping animal does, and not from side to side like a fish.

Interviewer: You worked as a bell founder for thirty-five years. What makes a good bell?
Founder: The metal matters less than people think. Four parts copper and one part tin, everybody uses that. It is the shape, and how evenly it cools. If you hurry the cooling, the bell will sound as if it had a cold itself.
Interviewer: Can you hear a mistake at once?
Founder: At the first stroke. A bell has five notes that you hear together, and we tune them one against the other by cutting metal from the inside. You can always take away, but you can't put anything back. So you learn to stop early.
Interviewer: Is there a bell of yours that you still listen for?
Founder: There is one in a village school by the coast. The children ring it with a rope, much too hard. I go there on holiday, and pretend that I don't know it.

Once a company has more than a dozen people, it needs rules about money, and the simplest ones are the best. Whoever spends it must be able to say what for. Whoever approves it must not be the one who spends it. Bills are paid when they are due, neither before nor after. There is always enough in the bank for three months in which nobody buys anything. And once a year somebody from outside looks at all of it and is allowed to ask stupid questions. Most of the spectacular failures of the last century broke at least two of these rules, and their boards contained people who could have recited them.

The patient was a woman of fifty-eight who came because of a cough that had lasted for nine weeks. She had never smoked. There was no fever, and she had not lost weight. On listening, the lungs were clear. A film of the chest was normal. When she was asked about medicines, she said that she had been given new tablets for her blood pressure in the spring. These belonged to a group of drugs that cause a dry cough in about one person in ten. The tablets were changed for others, and three weeks later the cough had gone. The case is not remarkable, except that she had been sent for four examinations before anyone asked the question.

function debounce(callback, milliseconds) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => callback(...args), milliseconds);
  };
}

// The search runs once typing has paused, not at every key.
const search = debounce((text) => {
  fetch("/search?q=" + encodeURIComponent(text))
    .then((response) => response.json())
    .then((results) => show(results))
    .catch((error) => console.error("search failed:", error.message));
}, 250);
input.addEventListener("input", (event) => search(event.target.value));

Dear diary, today we crossed the pass. We started at four in the morning, when the snow was still hard, and roped together at the foot of the glacier. Tom went first because he is the lightest. For two hours nobody said a word; one heard only the crunch of the boots and, now and then, far below, the water. At the top the sun came up all at once over a sea of cloud with nothing but the highest summits standing out of it, like islands, and Tom, who never shows anything, took off his hat. We ate frozen chocolate. The way down was long and dull, and I have blisters on both heels, but tonight there is soup, and a stove, and somebody is playing the harmonica very badly in the next room, and I would not change places with anyone.

A good argument may have a false conclusion, and a bad one a true one. All birds can fly; penguins are birds; therefore penguins can fly: there is nothing wrong with how this is put together, but its first sentence is false. Some musicians are left-handed; Vera is a musician; therefore Vera is left-handed: that may happen to be true, and still does not follow. To judge an argument one has to ask two questions and keep them apart. Are the premises true? And if they were, would the conclusion have to be true as well? Most quarrels go on for so long because one side is answering the first question and the other side the second.

The first electric telegraphs needed a wire for every letter. The great simplification was to use one wire and a code. An operator of some skill could send twenty-five words a minute, and hear them as well: the machines were meant to mark dots and dashes on a strip of paper, but the clerks found that they understood the clicks faster than they could read the strip. They knew one another by the rhythm of their hands, along lines of hundreds of miles, played chess at night when there were no messages, and in at least one case were married by wire. When the telephone came, most of them thought it a toy.

List of things to pack for the cabin:
- sleeping bags (3), and the thin mattress for Eli
- the big pot, two pans, knives, matches in a tin
- flour, rice, lentils, coffee, salt, oil, dried apples
- rain jackets, wool socks, a spare pair of shoes each
- lamp, batteries, first-aid box, the good axe
- cards, the atlas, something to read aloud
- key! (last year we forgot it, and Papa had to climb through the kitchen window)

In the economy of the Middle Ages salt was what oil is today. It kept meat and fish through the winter, cured hides, fed cattle, and could be made in few places only: where the sea could be led into shallow pans and left to the sun, or where brine came out of the ground and there was wood to boil it. Cities grew rich by lying on the roads on which it was carried. Kings taxed it because nobody could do without it, and smugglers carried it over the mountains at night for the same reason. When the tax on salt in one province was ten times that in the next, one in three of the men sent to the galleys had been caught with a bag of it on his back.

The sonata has three movements. The first opens with a theme of four notes, which the left hand answers upside down; nearly everything that follows is made of these eight. In the slow movement the same four notes return, so stretched out that one hardly knows them, above a bass that never leaves its place. The last is a dance. It stumbles twice, on purpose, stops as if it had forgotten how to go on, and then remembers everything at once. The whole takes some fourteen minutes. Played too fast it sounds clever, and played as it is written it sounds inevitable.

User: My sunflower seedlings are tall and thin and keep falling over. What am I doing wrong?
Assistant: They are most likely short of light. Seedlings that get too little of it stretch towards what there is and have weak stems. Move them to the brightest window you have, turn the pots a little every day, and keep them rather cool. You can also plant them deeper, up to the first leaves, when you move them into larger pots.
User: How often should I water them?
Assistant: When the top centimetre of the soil is dry. Roots need air as well as water, and more seedlings are drowned than dried out. Water them from below if you can: put the pots into a dish of water for a quarter of an hour, then let them drain.

Glass is neither quite a solid nor quite a liquid. When most melts cool, their atoms fall into the regular order of a crystal at a definite temperature. The atoms of molten sand are joined into a tangled net and cannot find their places in time; the melt becomes stiffer and stiffer until nothing moves any more, with the disorder of the liquid in it. It is not true that old window panes are thicker at the bottom because the glass has flowed. They were made of discs that were spun out by hand and were uneven from the start, and the glazier had the good sense to put the heavy edge below.

Nobody had lived in the house since the fire. Ivy had grown through the kitchen window and along the ceiling, where it had turned white for want of light. On the table stood four plates. Marek blew the dust from one of them and saw that it was painted with a ship, and that somebody had written a name on the sail in letters so small that he had to take it to the door to read it. It was his own. He stood there for some time. He had never been in this valley before, he was quite sure of that; he had only come because the bus had broken down, and because it had begun to rain.
`;
